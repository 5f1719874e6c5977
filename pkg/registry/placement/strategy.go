// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"fmt"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/author"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	registryvalidation "clusterpass.dev/pkg/registry/internal/validation"
)

// strategy is for the main resource: it keeps the status, and records the author.
type strategy struct {
	registrystrategy.Main
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{registrystrategy.NewMain(typer, v1alpha1.SchemeGroupVersion, author.Field)}
}

func newStatusStrategy(typer runtime.ObjectTyper) registrystrategy.Status[*v1alpha1.Placement] {
	return registrystrategy.NewStatus(typer, v1alpha1.SchemeGroupVersion,
		func(changed, old *v1alpha1.Placement) { changed.Spec = old.Spec },
		func(obj *v1alpha1.Placement) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})
}

var _ interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
	rest.ResetFieldsStrategy
} = strategy{}

// PrepareForCreate implements rest.RESTCreateStrategy: it resets the status, and sets the author to
// the user of the request.
func (strategy) PrepareForCreate(ctx context.Context, obj runtime.Object) {
	placement := toPlacement(obj)
	placement.Status = v1alpha1.PlacementStatus{}
	placement.Generation = 1
	placement.Spec.Author = author.Of(ctx)
}

// PrepareForUpdate implements rest.RESTUpdateStrategy. It keeps the status. If the spec changes, it
// increments the generation, and the user of the request becomes the author.
func (strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	placement, oldPlacement := toPlacement(obj), toPlacement(old)
	placement.Status = oldPlacement.Status
	placement.Spec.Author = oldPlacement.Spec.Author
	if !apiequality.Semantic.DeepEqual(placement.Spec, oldPlacement.Spec) {
		placement.Generation = oldPlacement.Generation + 1
		placement.Spec.Author = author.Of(ctx)
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validateCreate(toPlacement(obj))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	placement, oldPlacement := toPlacement(obj), toPlacement(old)
	errs := validateUpdate(placement, oldPlacement)
	if placement.Generation != oldPlacement.Generation {
		errs = append(errs, author.CheckWhole(ctx, placement.Spec.Author, oldPlacement.Spec.Author, "")...)
	}
	return errs
}

// toPlacement converts obj. It panics if NewFunc of the store returns another type.
func toPlacement(obj runtime.Object) *v1alpha1.Placement {
	return registrystrategy.To[*v1alpha1.Placement](obj)
}

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
		errs = append(errs,
			field.Invalid(path, length, fmt.Sprintf("the CEL expressions have more than %d bytes in total", v1alpha1.MaxCelExpressionsLength)))
	}
	return errs
}

func validateCount(count int, path *field.Path) field.ErrorList {
	return registryvalidation.Count(count, v1alpha1.MaxPlacementItems, path)
}
