// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clustercredentialset

import (
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

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
	Author *AuthorREST
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

// Options are the server's flags that are about sets.
type Options struct {
	// DecisionWriter is the user whose PlacementDecisions count by default.
	DecisionWriter string
	// Masters says what becomes of a set whose author would be in system:masters.
	Masters MastersPolicy
	// Admission admits changes of authors; nil: all.
	Admission admission.Interface
	// MaxAuthorAge is for how long after an author was noted there are tokens in its name; 0: for ever.
	MaxAuthorAge time.Duration
}

// NewStorage returns the storage of sets. In scheme the Go type stands for v1alpha1 and for the internal version. The
// tokens are minter's, for authors whom authorizer lets write the Secrets, too.
func NewStorage(
	scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter, minter Minter, authorizer authorizer.Authorizer, options Options,
) (*Storage, error) {
	main := newStrategy(scheme, minter, options)
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
		Token:  &TokenREST{sets: store, minter: minter, authorizer: authorizer, maxAuthorAge: options.MaxAuthorAge, clock: clock.RealClock{}},
		Author: newAuthorREST(store, main, scheme, options.Admission),
	}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"ccs"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }
