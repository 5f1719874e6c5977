// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// FilterPredicates is the name of the filter for predicates.
const FilterPredicates = "Predicates"

// candidate is a cluster with the data of one placement, at one instant.
type candidate struct {
	*entry
	// now is in nanoseconds.
	now int64
	// selected says that the placement's own decision has the cluster.
	selected bool
	// others is how often the decisions of other placements have it.
	others int32
	// spent is the cost of expressions so far, in the units of CEL.
	spent uint64
}

// predicates refuse clusters that match no predicate.
type predicates []predicate

// predicate matches clusters that all of its parts match.
type predicate struct {
	selectors
	requirements []requirement
	expressions  []expression
}

// selectors match clusters by labels and by properties.
type selectors struct{ labels, properties labels.Selector }

func compilePredicates(spec []v1alpha1.ClusterPredicate, path *field.Path) (predicates, field.ErrorList) {
	var errs field.ErrorList
	compiled := make(predicates, len(spec))
	var steps int64
	for i := range spec {
		selector, path := &spec[i].RequiredClusterSelector, path.Index(i).Child("requiredClusterSelector")
		p := &compiled[i]
		var labelErrs, requirementErrs, expressionErrs field.ErrorList
		p.selectors, labelErrs = compileSelectors(&selector.LabelSelector, &selector.ClaimSelector, path)
		p.requirements, requirementErrs = compileRequirements(selector.ScoreSelector.Requirements, path.Child("scoreSelector", "requirements"))
		p.expressions, expressionErrs = compileExpressions(selector.CelSelector.CelExpressions, path.Child("celSelector", "celExpressions"))
		errs = slices.Concat(errs, labelErrs, requirementErrs, expressionErrs)
		for j := range p.expressions {
			steps += p.expressions[j].steps
		}
	}
	if steps > maxCELSteps {
		errs = append(errs, field.Invalid(path, steps, fmt.Sprintf("the CEL expressions may take more than %d steps in total", maxCELSteps)))
	}
	return compiled, errs
}

func compileSelectors(
	byLabel *metav1.LabelSelector, byClaim *v1alpha1.ClusterClaimSelector, path *field.Path,
) (selectors, field.ErrorList) {
	byLabels, labelErrs := compileSelector(byLabel, path.Child("labelSelector"))
	byProperties, claimErrs := compileSelector(&metav1.LabelSelector{MatchExpressions: byClaim.MatchExpressions}, path.Child("claimSelector"))
	return selectors{byLabels, byProperties}, append(labelErrs, claimErrs...)
}

func compileSelector(spec *metav1.LabelSelector, path *field.Path) (labels.Selector, field.ErrorList) {
	selector, err := metav1.LabelSelectorAsSelector(spec)
	if err != nil {
		return nil, field.ErrorList{field.Invalid(path, metav1.FormatLabelSelector(spec), err.Error())}
	}
	return selector, nil
}

// accept returns whether any predicate matches the cluster, and if so until when.
func (p predicates) accept(c *candidate) (until int64, ok bool) {
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
	if !p.selectors.matches(c.entry) {
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

func (s *selectors) matches(e *entry) bool {
	return s.labels.Matches(labels.Set(e.Labels)) && s.properties.Matches(labels.Set(e.Properties))
}

// lacks returns the first part that the cluster does not match, as text.
func (p *predicate) lacks(c *candidate) string {
	if !p.labels.Matches(labels.Set(c.Labels)) {
		return "labels do not match " + p.labels.String()
	}
	if !p.properties.Matches(labels.Set(c.Properties)) {
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

// requirement limits one amount.
type requirement v1alpha1.ScoreRequirement

func compileRequirements(spec []v1alpha1.ScoreRequirement, path *field.Path) ([]requirement, field.ErrorList) {
	var errs field.ErrorList
	var compiled []requirement
	for i := range spec {
		r := requirement(spec[i])
		if r.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		}
		if r.AtLeast == nil && r.AtMost == nil {
			errs = append(errs, field.Required(path.Index(i), "one of atLeast and atMost"))
		}
		r.ResourceName = cmp.Or(r.ResourceName, v1alpha1.UsageResourceName)
		compiled = append(compiled, r)
	}
	return compiled, errs
}

// evaluate returns the amount or nil, until when it is valid, and whether it meets the requirement.
func (r *requirement) evaluate(c *candidate) (amount *resource.Quantity, until int64, within bool) {
	figures, _ := c.freshFigures(r.ResourceName)
	if amount = figures.amount(r.Name); amount == nil {
		return nil, 0, false
	}
	within = (r.AtLeast == nil || amount.Cmp(*r.AtLeast) >= 0) && (r.AtMost == nil || amount.Cmp(*r.AtMost) <= 0)
	return amount, figures.expiry(), within
}

// reason returns why the cluster does not meet the requirement.
func (r *requirement) reason(c *candidate) string {
	amount, _, _ := r.evaluate(c)
	_, expired := c.freshFigures(r.ResourceName)
	switch {
	case expired:
		return fmt.Sprintf("%s of %s has expired", r.Name, r.ResourceName)
	case amount == nil:
		return fmt.Sprintf("%s of %s is unknown", r.Name, r.ResourceName)
	case r.AtLeast != nil && amount.Cmp(*r.AtLeast) < 0:
		return fmt.Sprintf("%s of %s is %s, less than %s", r.Name, r.ResourceName, amount, r.AtLeast)
	default:
		return fmt.Sprintf("%s of %s is %s, more than %s", r.Name, r.ResourceName, amount, r.AtMost)
	}
}

// amount returns the value of that name, or the score if there is no such value, or nil.
func (f *Figures) amount(name string) *resource.Quantity {
	if f == nil {
		return nil
	}
	if amount, known := f.Values[name]; known {
		return &amount
	}
	if score, known := f.Scores[name]; known {
		return resource.NewQuantity(int64(score), resource.DecimalSI)
	}
	return nil
}
