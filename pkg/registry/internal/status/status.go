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

	"clusterpass.dev/pkg/registry/internal/bounded"
)

// Strategy is the strategy of a subresource status.
type Strategy interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
}

// REST serves the status of the objects in a store.
type REST struct {
	served
	store *bounded.Store
}

// served is the part of the store that is served as it is. Patches need rest.Getter.
type served interface {
	rest.Storage
	rest.Getter
	rest.TableConvertor
	rest.ResetFieldsStrategy
}

var _ rest.Patcher = &REST{}

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
	limited := bounded.New(&status)
	return &REST{served: limited, store: limited}
}

// Destroy implements rest.Storage. The main resource destroys the store.
func (*REST) Destroy() {}

// Update implements rest.Updater. It creates nothing, not even for server-side apply.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	_ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, info, createValidation, updateValidation, false, options)
}
