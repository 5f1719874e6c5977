// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// FilterPredicates is the name of the filter that keeps the predicates.
const FilterPredicates = "Predicates"

// predicates refuse clusters that match none of them.
type predicates []predicate

// predicate matches clusters that all of its parts match.
type predicate struct {
	labels, properties labels.Selector
	requirements       []requirement
	expressions        []expression
}

func compilePredicates(spec []v1alpha1.ClusterPredicate, path *field.Path) (predicates, field.ErrorList) {
	var errs field.ErrorList
	compiled := make(predicates, len(spec))
	for i := range spec {
		selector, path := &spec[i].RequiredClusterSelector, path.Index(i).Child("requiredClusterSelector")
		p := &compiled[i]
		var labelErrs, requirementErrs, expressionErrs field.ErrorList
		p.labels, p.properties, labelErrs = compileSelectors(&selector.LabelSelector, &selector.ClaimSelector, path)
		p.requirements, requirementErrs = compileRequirements(selector.ScoreSelector.Requirements, path.Child("scoreSelector", "requirements"))
		p.expressions, expressionErrs = compileExpressions(selector.CelSelector.CelExpressions, path.Child("celSelector", "celExpressions"))
		errs = append(append(append(errs, labelErrs...), requirementErrs...), expressionErrs...)
	}
	return compiled, errs
}

// compileSelectors returns nil for a selector that matches everything.
func compileSelectors(byLabel *metav1.LabelSelector, byClaim *v1alpha1.ClusterClaimSelector, path *field.Path) (byLabels, byProperties labels.Selector, errs field.ErrorList) {
	byLabels, errs = compileSelector(byLabel, path.Child("labelSelector"))
	byProperties, claimErrs := compileSelector(&metav1.LabelSelector{MatchExpressions: byClaim.MatchExpressions}, path.Child("claimSelector"))
	return byLabels, byProperties, append(errs, claimErrs...)
}

func compileSelector(spec *metav1.LabelSelector, path *field.Path) (labels.Selector, field.ErrorList) {
	selector, err := metav1.LabelSelectorAsSelector(spec)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(path, metav1.FormatLabelSelector(spec), err.Error())}
	}
	if selector.Empty() {
		return nil, nil
	}
	return selector, nil
}

func (predicates) name() string { return FilterPredicates }

func (p predicates) passes(c *candidate) (int64, bool) {
	if len(p) == 0 {
		return forever, true
	}
	for i := range p {
		if until, missing := p[i].matches(c); missing == "" {
			return until, true
		}
	}
	return 0, false
}

// reason names what each predicate misses.
func (p predicates) reason(c *candidate) string {
	reasons := make([]string, len(p))
	for i := range p {
		_, reasons[i] = p[i].matches(c)
	}
	return strings.Join(reasons, "; or ")
}

// matches returns the first part that the cluster does not match, as text, or the instant up to which it matches all.
func (p *predicate) matches(c *candidate) (until int64, missing string) {
	if p.labels != nil && !p.labels.Matches(labels.Set(c.Labels)) {
		return 0, "labels do not match " + p.labels.String()
	}
	if p.properties != nil && !p.properties.Matches(labels.Set(c.Properties)) {
		return 0, "properties do not match " + p.properties.String()
	}
	until = forever
	for i := range p.requirements {
		valid, missing := p.requirements[i].holds(c)
		if missing != "" {
			return 0, missing
		}
		until = min(until, valid)
	}
	for i := range p.expressions {
		if missing := p.expressions[i].holds(c); missing != "" {
			return 0, missing
		}
	}
	return until, ""
}
