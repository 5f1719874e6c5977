// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/status"
	"clusterpass.dev/pkg/registry/internal/table"
)

// REST serves placements.
type REST struct {
	*bounded.Store
}

var _ interface {
	rest.StandardStorage
	rest.ShortNamesProvider
	rest.CategoriesProvider
	rest.SingularNameProvider
	rest.ResetFieldsStrategy
} = &REST{}

// NewREST returns the storage of placements and of placements/status. In scheme, the Go type must
// be registered both for v1alpha1 and for the internal version.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*REST, *status.REST, error) {
	main := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.Placement{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.PlacementList{} },
		DefaultQualifiedResource:  v1alpha1.Resource("placements"),
		SingularQualifiedResource: v1alpha1.Resource("placement"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, cells),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, nil, err
	}
	return &REST{bounded.New(store)}, status.New(store, newStatusStrategy(scheme)), nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"pl"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }
