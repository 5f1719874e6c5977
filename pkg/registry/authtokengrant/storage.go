// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/selection"
	"clusterpass.dev/pkg/registry/internal/table"
)

// Storage has the storages of grants for their different users. All share one store, and so one
// cache.
type Storage struct {
	Grants   *REST
	Status   *bounded.Status
	Internal *Internal
}

// REST serves authtokengrants.
type REST struct {
	served
	store *bounded.Store
}

// served is the part of the store that is served. It has no rest.Creater, so discovery shows no
// verb create.
//
//nolint:interfacebloat // What the API machinery knows by twelve names is one storage.
type served interface {
	rest.StorageWithReadiness
	rest.Scoper
	rest.SingularNameProvider
	rest.Getter
	rest.Lister
	rest.Watcher
	rest.GracefulDeleter
	rest.MayReturnFullObjectDeleter
	rest.CollectionDeleter
	rest.CorruptObjectDeleterProvider
	rest.ResetFieldsStrategy
	rest.StorageVersionProvider
}

// Internal is the storage for the minting pipeline, in process. It bypasses admission.
type Internal struct {
	*genericregistry.Store
}

var _ interface {
	rest.Patcher
	rest.ShortNamesProvider
	rest.CategoriesProvider
} = &REST{}

const profileUIDField = "spec.clusterProfile.uid"

var grantKind = v1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")

var selected = selection.New(grantKind, profileUIDField, map[string]func(*v1alpha1.AuthTokenGrant) string{
	"spec.clusterProfile.namespace": func(grant *v1alpha1.AuthTokenGrant) string { return grant.Spec.ClusterProfile.Namespace },
	"spec.clusterProfile.name":      func(grant *v1alpha1.AuthTokenGrant) string { return grant.Spec.ClusterProfile.Name },
	profileUIDField:                 func(grant *v1alpha1.AuthTokenGrant) string { return string(grant.Spec.ClusterProfile.UID) },
	"spec.serviceAccount.namespace": func(grant *v1alpha1.AuthTokenGrant) string { return grant.Spec.ServiceAccount.Namespace },
	"spec.serviceAccount.name":      func(grant *v1alpha1.AuthTokenGrant) string { return grant.Spec.ServiceAccount.Name },
	"spec.requester.username":       func(grant *v1alpha1.AuthTokenGrant) string { return grant.Spec.Requester.Username },
})

// AddFieldLabelConversion makes scheme accept the field selectors of AuthTokenGrants.
func AddFieldLabelConversion(scheme *runtime.Scheme) error { return selected.AddConversion(scheme) }

// NewStorage returns the storage of grants. In scheme, the Go type must be registered both for
// v1alpha1 and for the internal version, and AddFieldLabelConversion must have been called.
func NewStorage(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*Storage, error) {
	main := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.AuthTokenGrant{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.AuthTokenGrantList{} },
		PredicateFunc:             selected.Match,
		DefaultQualifiedResource:  v1alpha1.Resource("authtokengrants"),
		SingularQualifiedResource: v1alpha1.Resource("authtokengrant"),
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, printer{clock.RealClock{}}.cells),
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: selected.Attributes, TriggerFunc: selected.Triggers(),
		Indexers: selected.Indexers()}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, err
	}
	internal := *store
	internal.CreateStrategy = internalStrategy{main.Namespaced}
	internal.UpdateStrategy = internalStrategy{main.Namespaced}
	return &Storage{
		Grants:   &REST{served: store, store: bounded.New(store)},
		Status:   bounded.NewStatus(store, newStatusStrategy(scheme)),
		Internal: &Internal{&internal},
	}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"atg"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }

// Update implements rest.Updater. It refuses a server-side apply that would create a grant; create
// is true for those.
func (r *REST) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo,
	createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc,
	create bool, options *metav1.UpdateOptions,
) (runtime.Object, bool, error) {
	obj, created, err := r.store.Update(ctx, name, info, createValidation, updateValidation, false, options)
	if create && apierrors.IsNotFound(err) {
		err = notCreated(name)
	}
	return obj, created, err
}

func notCreated(name string) error {
	err := apierrors.NewMethodNotSupported(v1alpha1.Resource("authtokengrants"), "create")
	err.ErrStatus.Message = fmt.Sprintf("there is no AuthTokenGrant %q to change: "+
		"grants are created by answering AuthTokenRequests, and in no other way", name)
	return err
}
