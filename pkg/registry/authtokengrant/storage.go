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
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/pkg/registry/internal/table"
)

// Storage is the storage of grants as its users see it. All of it is one store, that is one cache.
type Storage struct {
	Grants   *REST
	Status   *StatusREST
	Internal *Internal
}

// REST serves authtokengrants.
type REST struct {
	served
	store *genericregistry.Store
}

// served is what of the store is served. As there is no rest.Creater in it, discovery shows no verb create.
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

// StatusREST serves authtokengrants/status.
type StatusREST struct {
	store *genericregistry.Store
}

// Internal is the storage for the minting pipeline, in process. No admission sees what passes through it.
type Internal struct {
	*genericregistry.Store
}

var _ interface {
	rest.Patcher
	rest.ShortNamesProvider
	rest.CategoriesProvider
} = &REST{}

var _ interface {
	rest.Storage
	rest.Patcher
	rest.TableConvertor
	rest.ResetFieldsStrategy
} = &StatusREST{}

// NewStorage returns the storage of grants. In scheme the Go type stands for v1alpha1 and for the internal
// version; AddFieldLabelConversion has prepared it.
func NewStorage(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*Storage, error) {
	base := registrystrategy.New(scheme)
	main := strategy{base}
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &v1alpha1.AuthTokenGrant{} },
		NewListFunc:               func() runtime.Object { return &v1alpha1.AuthTokenGrantList{} },
		PredicateFunc:             match,
		DefaultQualifiedResource:  v1alpha1.Resource("authtokengrants"),
		SingularQualifiedResource: v1alpha1.Resource("authtokengrant"),
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            table.New(columns, printer{clock.RealClock{}}.cells),
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: getAttrs, TriggerFunc: triggers, Indexers: &indexers}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, err
	}
	status, internal := *store, *store
	status.UpdateStrategy = statusStrategy{base}
	status.ResetFieldsStrategy = statusStrategy{base}
	internal.CreateStrategy = internalStrategy{base}
	internal.UpdateStrategy = internalStrategy{base}
	return &Storage{
		Grants:   &REST{served: store, store: store},
		Status:   &StatusREST{store: &status},
		Internal: &Internal{&internal},
	}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"atg"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"clusterpass"} }

// Update implements rest.Updater. Server-side apply, for which create is true, is refused where it would create.
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
