// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// validateSizes limits what it costs to compile and to store the spec.
func validateSizes(spec *v1alpha1.PlacementSpec, path *field.Path) field.ErrorList {
	groups := spec.DecisionStrategy.GroupStrategy.DecisionGroups
	errs := validateCount(len(spec.ClusterSets), path.Child("clusterSets"))
	errs = append(errs, validateCount(len(spec.PrioritizerPolicy.Configurations), path.Child("prioritizerPolicy", "configurations"))...)
	errs = append(errs, validateCount(len(spec.Tolerations), path.Child("tolerations"))...)
	errs = append(errs, validateCount(len(groups), path.Child("decisionStrategy", "groupStrategy", "decisionGroups"))...)
	return append(errs, validatePredicateSizes(spec.Predicates, path.Child("predicates"))...)
}

func validatePredicateSizes(predicates []v1alpha1.ClusterPredicate, path *field.Path) field.ErrorList {
	errs := validateCount(len(predicates), path)
	total, length := 0, 0
	for i := range predicates {
		selector, path := &predicates[i].RequiredClusterSelector, path.Index(i).Child("requiredClusterSelector")
		errs = append(errs, validateCount(len(selector.ScoreSelector.Requirements), path.Child("scoreSelector", "requirements"))...)
		expressions := path.Child("celSelector", "celExpressions")
		for j, expression := range selector.CelSelector.CelExpressions {
			length += len(expression)
			if len(expression) > v1alpha1.MaxCelExpressionLength {
				errs = append(errs, field.TooLong(expressions.Index(j), "", v1alpha1.MaxCelExpressionLength))
			}
		}
		total += len(selector.CelSelector.CelExpressions)
	}
	if total > v1alpha1.MaxCelExpressions {
		errs = append(errs, field.TooMany(path, total, v1alpha1.MaxCelExpressions))
	}
	if length > v1alpha1.MaxCelExpressionsLength {
		errs = append(errs, field.Invalid(path, length, fmt.Sprintf("the CEL expressions have so many bytes together, and may have %d", v1alpha1.MaxCelExpressionsLength)))
	}
	return errs
}

func validateCount(count int, path *field.Path) field.ErrorList {
	if count > v1alpha1.MaxPlacementItems {
		return field.ErrorList{field.TooMany(path, count, v1alpha1.MaxPlacementItems)}
	}
	return nil
}
