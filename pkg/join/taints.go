// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/taints"
)

// taintManager owns the taints that join has set, so that they stay when the cluster is joined again without any.
const taintManager = FieldManager + "-taints"

// ParseTaint returns the taint that is written KEY[=VALUE]:EFFECT, as kubectl has it for nodes.
func ParseTaint(written string) (clusterpassv1alpha1.ClusterTaint, error) {
	pair, effect, found := strings.Cut(written, ":")
	key, value, _ := strings.Cut(pair, "=")
	taint := clusterpassv1alpha1.ClusterTaint{Key: key, Value: value, Effect: clusterpassv1alpha1.TaintEffect(effect)}
	if !found {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT", written)
	}
	encoded, err := json.Marshal([]clusterpassv1alpha1.ClusterTaint{taint})
	if err != nil {
		return taint, err
	}
	if _, err := taints.Parse(string(encoded)); err != nil {
		return taint, fmt.Errorf("taint %q is not KEY[=VALUE]:EFFECT: %w", written, err)
	}
	return taint, nil
}

// taintsFor returns the value of the annotation with the taints that o asks for and those that profile has besides; it is
// empty if o asks for none.
func (j *joiner) taintsFor(ctx context.Context, o *Options) (string, error) {
	if len(o.Taints) == 0 {
		return "", nil
	}
	profile, err := j.profile(ctx)
	if err != nil {
		return "", err
	}
	var present []clusterpassv1alpha1.ClusterTaint
	if profile != nil && profile.Annotations[clusterpassv1alpha1.AnnotationTaints] != "" {
		if present, err = taints.Parse(profile.Annotations[clusterpassv1alpha1.AnnotationTaints]); err != nil {
			return "", fmt.Errorf("hub: annotation %s of ClusterProfile %s: %w", clusterpassv1alpha1.AnnotationTaints, j.profileName(), err)
		}
	}
	merged, err := json.Marshal(mergeTaints(present, o.Taints, metav1.Now()))
	return string(merged), err
}

// mergeTaints returns the taints that are present, with those that are wanted in place of others of their key and effect.
func mergeTaints(present, wanted []clusterpassv1alpha1.ClusterTaint, now metav1.Time) []clusterpassv1alpha1.ClusterTaint {
	merged := slices.Clone(present)
	for _, taint := range wanted {
		i := slices.IndexFunc(merged, func(t clusterpassv1alpha1.ClusterTaint) bool { return t.Key == taint.Key && t.Effect == taint.Effect })
		taint.TimeAdded = metav1.NewTime(now.UTC())
		switch {
		case i < 0:
			merged = append(merged, taint)
		case merged[i].Value != taint.Value:
			merged[i] = taint
		}
	}
	return merged
}

// taintsReady owns the taints for good: what the ClusterProfile was applied with goes when it is applied without.
func (j *joiner) taintsReady(ctx context.Context, value string) error {
	if value == "" {
		return nil
	}
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(profileKind)
	u.SetNamespace(j.Namespace)
	u.SetName(j.Name)
	u.SetAnnotations(map[string]string{clusterpassv1alpha1.AnnotationTaints: value})
	return j.hub.applyAs(ctx, taintManager, u, nil)
}
