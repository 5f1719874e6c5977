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

// requirement bounds one amount.
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

// holds returns until when the amount is known to be within its bounds, or as text why it is not.
func (r *requirement) holds(c *candidate) (until int64, missing string) {
	figures, expired := c.figures(r.resourceName)
	if expired {
		return 0, fmt.Sprintf("%s of %s has expired", r.scoreName, r.resourceName)
	}
	amount, known := figures.amount(r.scoreName)
	switch {
	case !known:
		return 0, fmt.Sprintf("%s of %s is unknown", r.scoreName, r.resourceName)
	case r.atLeast != nil && amount.Cmp(*r.atLeast) < 0:
		return 0, fmt.Sprintf("%s of %s is %s, less than %s", r.scoreName, r.resourceName, amount.String(), r.atLeast)
	case r.atMost != nil && amount.Cmp(*r.atMost) > 0:
		return 0, fmt.Sprintf("%s of %s is %s, more than %s", r.scoreName, r.resourceName, amount.String(), r.atMost)
	}
	return figures.expiry(), ""
}

// amount returns the value of that name, or the score if there is no such value.
func (f *Figures) amount(name string) (amount resource.Quantity, known bool) {
	if f == nil {
		return amount, false
	}
	if amount, known = f.Values[name]; known {
		return amount, true
	}
	score, known := f.Scores[name]
	return *resource.NewQuantity(int64(score), resource.DecimalSI), known
}
