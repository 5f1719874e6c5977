// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// requirement limits one amount.
type requirement struct {
	resourceName, scoreName string
	atLeast, atMost         *resource.Quantity
}

func compileRequirements(spec []v1alpha1.ScoreRequirement, path *field.Path) ([]requirement, field.ErrorList) {
	var errs field.ErrorList
	var compiled []requirement
	for i := range spec {
		r := &spec[i]
		if r.Name == "" {
			errs = append(errs, field.Required(path.Index(i).Child("name"), ""))
		}
		if r.AtLeast == nil && r.AtMost == nil {
			errs = append(errs, field.Required(path.Index(i), "one of atLeast and atMost"))
		}
		compiled = append(compiled, requirement{
			resourceName: cmp.Or(r.ResourceName, v1alpha1.UsageResourceName),
			scoreName:    r.Name,
			atLeast:      r.AtLeast,
			atMost:       r.AtMost,
		})
	}
	return compiled, errs
}

// evaluate returns the amount or nil, until when it is valid, and whether it meets the requirement.
func (r *requirement) evaluate(c *candidate) (amount *resource.Quantity, until int64, within bool) {
	figures, _ := c.freshFigures(r.resourceName)
	if amount = figures.amount(r.scoreName); amount == nil {
		return nil, 0, false
	}
	within = (r.atLeast == nil || amount.Cmp(*r.atLeast) >= 0) && (r.atMost == nil || amount.Cmp(*r.atMost) <= 0)
	return amount, figures.expiry(), within
}

// reason returns why the cluster does not meet the requirement.
func (r *requirement) reason(c *candidate) string {
	amount, _, _ := r.evaluate(c)
	_, expired := c.freshFigures(r.resourceName)
	switch {
	case expired:
		return fmt.Sprintf("%s of %s has expired", r.scoreName, r.resourceName)
	case amount == nil:
		return fmt.Sprintf("%s of %s is unknown", r.scoreName, r.resourceName)
	case r.atLeast != nil && amount.Cmp(*r.atLeast) < 0:
		return fmt.Sprintf("%s of %s is %s, less than %s", r.scoreName, r.resourceName, amount, r.atLeast)
	default:
		return fmt.Sprintf("%s of %s is %s, more than %s", r.scoreName, r.resourceName, amount, r.atMost)
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
