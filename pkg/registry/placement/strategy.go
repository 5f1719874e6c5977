// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/author"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
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
var toPlacement = registrystrategy.To[*v1alpha1.Placement]
