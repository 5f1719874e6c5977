// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// FilterTaints is the name of the filter for taints.
const FilterTaints = "Taints"

// tolerations refuse clusters with a taint that no toleration tolerates.
type tolerations []v1alpha1.ClusterToleration

func validateTolerations(spec []v1alpha1.ClusterToleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range spec {
		t, path := &spec[i], path.Index(i)
		operator := cmp.Or(t.Operator, v1alpha1.TolerationOpEqual)
		errs = append(errs, oneOf(operator, path.Child("operator"), v1alpha1.TolerationOpEqual, v1alpha1.TolerationOpExists)...)
		exists := operator == v1alpha1.TolerationOpExists
		if t.Key == "" && !exists {
			errs = append(errs, field.Invalid(path.Child("operator"), t.Operator, "must be Exists, because there is no key"))
		}
		if t.Value != "" && exists {
			errs = append(errs, field.Invalid(path.Child("value"), t.Value, "must be empty with the operator Exists"))
		}
	}
	return errs
}

// accept returns whether all taints of the cluster are tolerated, and if so until when.
func (t tolerations) accept(c *candidate) (until int64, ok bool) {
	until = forever
	for i := range c.Taints {
		tolerated, ok := t.tolerate(&c.Taints[i], c)
		if !ok {
			return 0, false
		}
		until = min(until, tolerated)
	}
	return until, true
}

// reason returns why the cluster is refused, as a short text for users.
func (t tolerations) reason(c *candidate) string {
	for i := range c.Taints {
		taint := &c.Taints[i]
		if _, ok := t.tolerate(taint, c); ok {
			continue
		}
		for j := range t {
			if matches(&t[j], taint) {
				return fmt.Sprintf("the taint %s is no longer tolerated", name(taint))
			}
		}
		return fmt.Sprintf("the taint %s is not tolerated", name(taint))
	}
	return ""
}

func name(taint *v1alpha1.ClusterTaint) string {
	if taint.Value == "" {
		return fmt.Sprintf("%s:%s", taint.Key, taint.Effect)
	}
	return fmt.Sprintf("%s=%s:%s", taint.Key, taint.Value, taint.Effect)
}

// tolerate returns whether the placement tolerates the taint, and if so until when, by the first
// matching toleration. If a later toleration lasts longer, the cluster is evaluated once more than
// necessary.
func (t tolerations) tolerate(taint *v1alpha1.ClusterTaint, c *candidate) (until int64, ok bool) {
	if taint.Effect == v1alpha1.TaintEffectPreferNoSelect || taint.Effect == v1alpha1.TaintEffectNoSelectIfNew && c.selected {
		return forever, true
	}
	for i := range t {
		if !matches(&t[i], taint) {
			continue
		}
		if until = lasts(&t[i], taint); c.now < until {
			return until, true
		}
	}
	return 0, false
}

func matches(t *v1alpha1.ClusterToleration, taint *v1alpha1.ClusterTaint) bool {
	if t.Effect != "" && t.Effect != taint.Effect || t.Key != "" && t.Key != taint.Key {
		return false
	}
	return t.Operator == v1alpha1.TolerationOpExists || t.Value == taint.Value
}

// lasts returns the first instant at which a toleration no longer applies to a taint. A taint of
// unknown age is too old.
func lasts(t *v1alpha1.ClusterToleration, taint *v1alpha1.ClusterTaint) int64 {
	if t.TolerationSeconds == nil {
		return forever
	}
	if taint.TimeAdded.IsZero() {
		return math.MinInt64
	}
	// More seconds would overflow the nanoseconds.
	const maxSeconds = int64(200 * 365 * 24 * time.Hour / time.Second)
	if *t.TolerationSeconds > maxSeconds {
		return forever
	}
	return taint.TimeAdded.UnixNano() + max(*t.TolerationSeconds, -maxSeconds)*int64(time.Second)
}
