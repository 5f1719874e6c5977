// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bounded is a store that bounds what clients send before it is validated.
package bounded

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/pkg/bounds"
)

// Store is a store of one kind. Lists and maps of its objects are bounded by bounds.Check, and errors by bounds.Limit.
type Store struct {
	*genericregistry.Store
}

// New returns store, which has been completed, with bounds. It changes the strategies of store.
func New(store *genericregistry.Store) *Store {
	if _, done := store.CreateStrategy.(createStrategy); !done && store.CreateStrategy != nil {
		store.CreateStrategy = createStrategy{store.CreateStrategy}
	}
	if _, done := store.UpdateStrategy.(updateStrategy); !done && store.UpdateStrategy != nil {
		store.UpdateStrategy = updateStrategy{store.UpdateStrategy}
	}
	return &Store{store}
}

// Update implements rest.Updater. The metadata is bounded here: a store validates them before it asks its strategy.
func (s *Store) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	create bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return s.Store.Update(ctx, name, updated{info, s.UpdateStrategy}, createValidation, updateValidation, create, options)
}

// createStrategy bounds what another one validates.
type createStrategy struct{ rest.RESTCreateStrategy }

// Validate implements rest.RESTCreateStrategy.
func (s createStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	if errs := bounds.Check(obj, nil); len(errs) > 0 {
		return bounds.Limit(errs)
	}
	return bounds.Limit(s.RESTCreateStrategy.Validate(ctx, obj))
}

// updateStrategy bounds what another one validates.
type updateStrategy struct{ rest.RESTUpdateStrategy }

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s updateStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return bounds.Limit(s.RESTUpdateStrategy.ValidateUpdate(ctx, obj, old))
}

// updated is an object that is updated, and within its bounds.
type updated struct {
	rest.UpdatedObjectInfo
	typer runtime.ObjectTyper
}

// UpdatedObject implements rest.UpdatedObjectInfo. Its errors are those of the other one, and 422.
func (u updated) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	obj, err := u.UpdatedObjectInfo.UpdatedObject(ctx, old)
	if err != nil {
		return nil, err
	}
	object, err := meta.Accessor(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	errs := bounds.Check(obj, old)
	if len(errs) == 0 {
		// Those that are few are reported with the others, in their place.
		metadata := field.NewPath("metadata")
		if errs = validation.ValidateObjectMetaAccessor(object, true, validation.NameIsDNSSubdomain, metadata); !bounds.Enough(errs) {
			return obj, nil
		}
	}
	kinds, _, err := u.typer.ObjectKinds(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return nil, apierrors.NewInvalid(kinds[0].GroupKind(), object.GetName(), bounds.Limit(errs))
}
