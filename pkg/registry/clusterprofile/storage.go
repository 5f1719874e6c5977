// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/pkg/registry/internal/table"
)

// REST serves clusterprofiles.
type REST struct {
	*genericregistry.Store
}

// StatusREST serves clusterprofiles/status.
type StatusREST struct {
	store *genericregistry.Store
}

var _ interface {
	rest.StandardStorage
	rest.ShortNamesProvider
	rest.CategoriesProvider
	rest.SingularNameProvider
	rest.ResetFieldsStrategy
} = &REST{}

var _ interface {
	rest.Storage
	rest.Getter
	rest.Updater
	rest.TableConvertor
	rest.ResetFieldsStrategy
} = &StatusREST{}

// NewREST returns the storage of clusterprofiles and of clusterprofiles/status. In scheme the Go type
// stands for v1alpha1 and for the internal version; AddDefaults and AddFieldLabelConversion have prepared it.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*REST, *StatusREST, error) {
	base := registrystrategy.New(scheme)
	main := strategy{base}
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &inventoryv1alpha1.ClusterProfile{} },
		NewListFunc:               func() runtime.Object { return &inventoryv1alpha1.ClusterProfileList{} },
		PredicateFunc:             match,
		DefaultQualifiedResource:  inventoryv1alpha1.Resource("clusterprofiles"),
		SingularQualifiedResource: inventoryv1alpha1.Resource("clusterprofile"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, cells),
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: getAttrs, TriggerFunc: triggers}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, nil, err
	}
	// The same store, that is the same cache, under another strategy.
	status := *store
	status.UpdateStrategy = statusStrategy{base}
	status.ResetFieldsStrategy = statusStrategy{base}
	return &REST{store}, &StatusREST{store: &status}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"cp"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }

// New implements rest.Storage.
func (r *StatusREST) New() runtime.Object { return r.store.New() }

// Destroy implements rest.Storage. The store is the one of REST, which destroys it.
func (*StatusREST) Destroy() {}

// Get implements rest.Getter, which patches need.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update implements rest.Updater. It creates nothing, not even for server-side apply.
func (r *StatusREST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	_ bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, info, createValidation, updateValidation, false, options)
}

// ConvertToTable implements rest.TableConvertor.
func (r *StatusREST) ConvertToTable(ctx context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, obj, tableOptions)
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}
