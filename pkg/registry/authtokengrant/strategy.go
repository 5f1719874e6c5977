// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"context"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
)

// strategy is for the main resource: only the metadata changes. It does not reset the spec, because
// validation refuses changes of it.
type strategy struct {
	registrystrategy.Main
}

// internalStrategy is for the minting pipeline: it creates grants, and changes spec and status
// together.
type internalStrategy struct {
	registrystrategy.Namespaced
}

func newStrategy(typer runtime.ObjectTyper) strategy {
	return strategy{registrystrategy.NewMain(typer, v1alpha1.SchemeGroupVersion)}
}

func newStatusStrategy(typer runtime.ObjectTyper) registrystrategy.Status[*v1alpha1.AuthTokenGrant] {
	return registrystrategy.NewStatus(typer, v1alpha1.SchemeGroupVersion,
		func(changed, old *v1alpha1.AuthTokenGrant) { changed.Spec = old.Spec },
		func(obj *v1alpha1.AuthTokenGrant) field.ErrorList {
			return validateStatus(&obj.Status, field.NewPath("status"))
		})
}

var _ interface {
	rest.RESTUpdateStrategy
	rest.RESTDeleteStrategy
	rest.ResetFieldsStrategy
} = strategy{}

var _ interface {
	rest.RESTCreateStrategy
	rest.RESTUpdateStrategy
} = internalStrategy{}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the status stays.
func (strategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	toGrant(obj).Status = toGrant(old).Status
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (strategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateUpdate(toGrant(obj), toGrant(old))
}

// PrepareForCreate implements rest.RESTCreateStrategy. A grant may start with a status.
func (internalStrategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	toGrant(obj).Generation = 1
}

// PrepareForUpdate implements rest.RESTUpdateStrategy: the generation counts changes that the
// member cluster needs, too.
func (internalStrategy) PrepareForUpdate(_ context.Context, obj, old runtime.Object) {
	grant, oldGrant := toGrant(obj), toGrant(old)
	spec := grant.Spec
	spec.Requester = oldGrant.Spec.Requester
	if !apiequality.Semantic.DeepEqual(spec, oldGrant.Spec) {
		grant.Generation = oldGrant.Generation + 1
	}
}

// Validate implements rest.RESTCreateStrategy.
func (internalStrategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validateInternalCreate(toGrant(obj))
}

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (internalStrategy) ValidateUpdate(_ context.Context, obj, old runtime.Object) field.ErrorList {
	return validateInternalUpdate(toGrant(obj), toGrant(old))
}

// toGrant converts obj. It panics if NewFunc of the store returns another type.
func toGrant(obj runtime.Object) *v1alpha1.AuthTokenGrant {
	return registrystrategy.To[*v1alpha1.AuthTokenGrant](obj)
}
