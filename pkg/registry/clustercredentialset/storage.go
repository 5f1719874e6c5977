// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/status"
	"clusterpass.dev/pkg/registry/internal/table"
)

// Storage is the storage of sets as its users see it. All of it is one store, that is one cache.
type Storage struct {
	Sets   *REST
	Status *status.REST
	Token  *TokenREST
}

// REST serves clustercredentialsets.
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

// NewStorage returns the storage of sets. In scheme the Go type stands for v1alpha1 and for the internal version. The
// tokens are minter's, for authors whom authorizer lets write the Secrets, too.
func NewStorage(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, minter Minter, authorizer authorizer.Authorizer) (*Storage, error) {
	main := newStrategy(scheme, minter)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.ClusterCredentialSet{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.ClusterCredentialSetList{} },
		DefaultQualifiedResource:  v1alpha1.Resource("clustercredentialsets"),
		SingularQualifiedResource: v1alpha1.Resource("clustercredentialset"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, cells),
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, err
	}
	return &Storage{
		Sets:   &REST{bounded.New(store)},
		Status: status.New(store, newStatusStrategy(scheme)),
		Token:  &TokenREST{sets: store, minter: minter, authorizer: authorizer},
	}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"ccs"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }
