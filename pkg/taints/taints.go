// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package taints parses the taints in the annotation of a ClusterProfile.
package taints

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	utilvalidation "k8s.io/apimachinery/pkg/util/validation"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/bounds"
)

// MaxTaints bounds the taints of a ClusterProfile, because each Placement checks all of them.
const MaxTaints = bounds.MaxEntries

// maxValue is the limit for the value of a taint in OCM's CRD, in bytes.
const maxValue = 1024

// Parse returns the taints in the value of the annotation clusterpass.dev/taints, or all errors in
// it. Unknown fields are errors: otherwise, a misspelt taint would have an effect that was not
// meant.
func Parse(annotation string) ([]v1alpha1.ClusterTaint, error) {
	decoder := json.NewDecoder(strings.NewReader(annotation))
	decoder.DisallowUnknownFields()
	var taints []v1alpha1.ClusterTaint
	if err := decoder.Decode(&taints); err != nil {
		return nil, fmt.Errorf("no JSON list of taints: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("more than one JSON list of taints")
	}
	if len(taints) > MaxTaints {
		return nil, fmt.Errorf("there are %d taints, and at most %d", len(taints), MaxTaints)
	}
	var errs []error
	for i := range taints {
		if err := check(&taints[i]); err != nil {
			errs = append(errs, fmt.Errorf("taint %d: %w", i, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return taints, nil
}

func check(taint *v1alpha1.ClusterTaint) error {
	if problems := utilvalidation.IsQualifiedName(taint.Key); len(problems) > 0 {
		return fmt.Errorf("key %q: %s", taint.Key, strings.Join(problems, "; "))
	}
	if len(taint.Value) > maxValue {
		return fmt.Errorf("the value is longer than %d bytes", maxValue)
	}
	switch taint.Effect {
	case v1alpha1.TaintEffectNoSelect, v1alpha1.TaintEffectPreferNoSelect, v1alpha1.TaintEffectNoSelectIfNew:
		return nil
	default:
		return fmt.Errorf("effect %q is none of %s, %s and %s", taint.Effect,
			v1alpha1.TaintEffectNoSelect, v1alpha1.TaintEffectPreferNoSelect, v1alpha1.TaintEffectNoSelectIfNew)
	}
}
