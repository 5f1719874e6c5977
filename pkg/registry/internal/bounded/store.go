// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bounded provides a store that limits the size of objects before it validates them, and
// the subresource status of such a store.
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

// Store is a store of one kind. bounds.Check limits lists and maps in its objects, and bounds.Limit
// limits errors.
type Store struct {
	*genericregistry.Store
	shortNames []string
}

var _ interface {
	rest.StandardStorage
	rest.ShortNamesProvider
	rest.CategoriesProvider
	rest.SingularNameProvider
	rest.ResetFieldsStrategy
} = &Store{}

// New returns store with limits, for a resource with shortNames. store has been completed, and New
// changes its strategies.
func New(store *genericregistry.Store, shortNames ...string) *Store {
	if store.CreateStrategy != nil {
		store.CreateStrategy = createStrategy{store.CreateStrategy}
	}
	store.UpdateStrategy = updateStrategy{store.UpdateStrategy}
	return &Store{store, shortNames}
}

// ShortNames implements rest.ShortNamesProvider.
func (s *Store) ShortNames() []string { return s.shortNames }

// Categories implements rest.CategoriesProvider.
func (*Store) Categories() []string { return []string{"clusterpass"} }

// Update implements rest.Updater. It limits the metadata here, because a store validates metadata
// before it calls its strategy.
func (s *Store) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	create bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return s.Store.Update(ctx, name, updated{info, s.UpdateStrategy}, createValidation, updateValidation, create, options)
}

// createStrategy limits objects before another strategy validates them.
type createStrategy struct{ rest.RESTCreateStrategy }

// Validate implements rest.RESTCreateStrategy.
func (s createStrategy) Validate(ctx context.Context, obj runtime.Object) field.ErrorList {
	if errs := bounds.Check(obj, nil); len(errs) > 0 {
		return bounds.Limit(errs)
	}
	return bounds.Limit(s.RESTCreateStrategy.Validate(ctx, obj))
}

// updateStrategy limits the errors of another strategy.
type updateStrategy struct{ rest.RESTUpdateStrategy }

// ValidateUpdate implements rest.RESTUpdateStrategy.
func (s updateStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return bounds.Limit(s.RESTUpdateStrategy.ValidateUpdate(ctx, obj, old))
}

// updated checks the limits of an updated object.
type updated struct {
	rest.UpdatedObjectInfo
	typer runtime.ObjectTyper
}

// UpdatedObject implements rest.UpdatedObjectInfo. Its errors are those of the inner
// UpdatedObjectInfo, and 422.
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
		// If there are only a few errors, the store reports them later, together with others.
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

// StatusStrategy is the strategy of a subresource status.
type StatusStrategy interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// Status serves the status of the objects in a store as a subresource that behaves like that of a
// custom resource.
type Status struct {
	served
	store *Store
}

// served is the part of the store that is served as it is. Patches need rest.Getter.
type served interface {
	rest.Storage
	rest.Getter
	rest.TableConvertor
	rest.ResetFieldsStrategy
}

var _ rest.Patcher = &Status{}

// NewStatus returns the Status of store, which has been completed. It shares the store, and so the
// cache, but has its own strategy. It calls BeginUpdate of store for updates of the status, too.
func NewStatus(store *genericregistry.Store, strategy StatusStrategy) *Status {
	status := *store
	status.UpdateStrategy = strategy
	status.ResetFieldsStrategy = strategy
	status.BeginUpdate = func(ctx context.Context, obj, old runtime.Object, opts *metav1.UpdateOptions) (genericregistry.FinishFunc, error) {
		if store.BeginUpdate == nil {
			return func(context.Context, bool) {}, nil
		}
		return store.BeginUpdate(ctx, obj, old, opts)
	}
	limited := New(&status)
	return &Status{served: limited, store: limited}
}

// Destroy implements rest.Storage. The main resource destroys the store.
func (*Status) Destroy() {}

// Update implements rest.Updater. It creates nothing, not even for server-side apply.
func (s *Status) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	_ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return s.store.Update(ctx, name, info, createValidation, updateValidation, false, options)
}
