// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// FilterPredicates is the name of the filter for predicates.
const FilterPredicates = "Predicates"

// predicates is a filter that refuses clusters that match no predicate.
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
	var steps int64
	for i := range spec {
		selector, path := &spec[i].RequiredClusterSelector, path.Index(i).Child("requiredClusterSelector")
		p := &compiled[i]
		var labelErrs, requirementErrs, expressionErrs field.ErrorList
		p.labels, p.properties, labelErrs = compileSelectors(&selector.LabelSelector, &selector.ClaimSelector, path)
		p.requirements, requirementErrs = compileRequirements(selector.ScoreSelector.Requirements, path.Child("scoreSelector", "requirements"))
		p.expressions, expressionErrs = compileExpressions(selector.CelSelector.CelExpressions, path.Child("celSelector", "celExpressions"))
		errs = append(append(append(errs, labelErrs...), requirementErrs...), expressionErrs...)
		for j := range p.expressions {
			steps += p.expressions[j].steps
		}
	}
	if steps > maxCELSteps {
		errs = append(errs, field.Invalid(path, steps, fmt.Sprintf("the CEL expressions may take more than %d steps in total", maxCELSteps)))
	}
	return compiled, errs
}

// compileSelectors returns nil for a selector that matches everything.
func compileSelectors(
	byLabel *metav1.LabelSelector, byClaim *v1alpha1.ClusterClaimSelector, path *field.Path,
) (byLabels, byProperties labels.Selector, errs field.ErrorList) {
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
		if until, ok := p[i].matches(c); ok {
			return until, true
		}
	}
	return 0, false
}

// reason returns, for each predicate, why the cluster does not match it.
func (p predicates) reason(c *candidate) string {
	c.spent = 0
	reasons := make([]string, len(p))
	for i := range p {
		reasons[i] = p[i].lacks(c)
	}
	return strings.Join(reasons, "; or ")
}

// matches returns whether the cluster matches all parts, and if so until when.
func (p *predicate) matches(c *candidate) (until int64, ok bool) {
	if !p.matchesLabels(c) || !p.matchesProperties(c) {
		return 0, false
	}
	until = forever
	for i := range p.requirements {
		_, expiry, within := p.requirements[i].evaluate(c)
		if !within {
			return 0, false
		}
		until = min(until, expiry)
	}
	for i := range p.expressions {
		if holds, _ := p.expressions[i].holds(c); !holds {
			return 0, false
		}
	}
	return until, true
}

func (p *predicate) matchesLabels(c *candidate) bool {
	return p.labels == nil || p.labels.Matches(labels.Set(c.Labels))
}

func (p *predicate) matchesProperties(c *candidate) bool {
	return p.properties == nil || p.properties.Matches(labels.Set(c.Properties))
}

// lacks returns the first part that the cluster does not match, as text.
func (p *predicate) lacks(c *candidate) string {
	if !p.matchesLabels(c) {
		return "labels do not match " + p.labels.String()
	}
	if !p.matchesProperties(c) {
		return "properties do not match " + p.properties.String()
	}
	for i := range p.requirements {
		if _, _, within := p.requirements[i].evaluate(c); !within {
			return p.requirements[i].reason(c)
		}
	}
	for i := range p.expressions {
		if holds, err := p.expressions[i].holds(c); err != nil {
			return "the expression " + p.expressions[i].text + " fails: " + err.Error()
		} else if !holds {
			return "the expression " + p.expressions[i].text + " is not true"
		}
	}
	return ""
}
