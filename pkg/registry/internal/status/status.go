// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package status serves the status of a stored resource as a subresource that behaves like that of
// a custom resource.
package status

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/pkg/registry/internal/bounded"
)

// Strategy is the strategy of a subresource status.
type Strategy interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// REST serves the status of the objects in a store.
type REST struct {
	store *bounded.Store
}

var _ interface {
	rest.Storage
	rest.Patcher
	rest.TableConvertor
	rest.ResetFieldsStrategy
} = &REST{}

// New returns a REST of store, which has been completed. It shares the store, and so the cache, but
// has its own strategy. It calls BeginUpdate of store for updates of the status, too.
func New(store *genericregistry.Store, strategy Strategy) *REST {
	status := *store
	status.UpdateStrategy = strategy
	status.ResetFieldsStrategy = strategy
	status.BeginUpdate = func(ctx context.Context, obj, old runtime.Object, opts *metav1.UpdateOptions) (genericregistry.FinishFunc, error) {
		if store.BeginUpdate == nil {
			return func(context.Context, bool) {}, nil
		}
		return store.BeginUpdate(ctx, obj, old, opts)
	}
	return &REST{store: bounded.New(&status)}
}

// New implements rest.Storage.
func (r *REST) New() runtime.Object { return r.store.New() }

// Destroy implements rest.Storage. The main resource destroys the store.
func (*REST) Destroy() {}

// Get implements rest.Getter, which patches need.
func (r *REST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update implements rest.Updater. It creates nothing, not even for server-side apply.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	_ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, info, createValidation, updateValidation, false, options)
}

// ConvertToTable implements rest.TableConvertor.
func (r *REST) ConvertToTable(ctx context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, obj, tableOptions)
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *REST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}
