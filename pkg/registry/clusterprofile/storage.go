// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/selection"
	"clusterpass.dev/pkg/registry/internal/table"
	"clusterpass.dev/pkg/sharedread"
)

const managerField = "spec.clusterManager.name"

var profileKind = inventoryv1alpha1.GroupVersion.WithKind(inventoryv1alpha1.ClusterProfileKind)

var selected = selection.New(profileKind, managerField, map[string]func(*inventoryv1alpha1.ClusterProfile) string{
	managerField: func(profile *inventoryv1alpha1.ClusterProfile) string { return profile.Spec.ClusterManager.Name },
})

// AddFieldLabelConversion makes scheme accept the field selectors of ClusterProfiles.
func AddFieldLabelConversion(scheme *runtime.Scheme) error {
	return selected.AddConversion(scheme, v1alpha2.SchemeGroupVersion)
}

// NewREST returns the storage of clusterprofiles and of clusterprofiles/status. In scheme, the Go
// type must be registered both for v1alpha1 and for the internal version, with conversions for
// v1alpha2, and AddDefaults and AddFieldLabelConversion must have been called.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*bounded.Store, *bounded.Status, error) {
	main := newStrategy(scheme)
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &inventoryv1alpha1.ClusterProfile{} },
		NewListFunc:               func() runtime.Object { return &inventoryv1alpha1.ClusterProfileList{} },
		PredicateFunc:             selected.Match,
		DefaultQualifiedResource:  inventoryv1alpha1.Resource("clusterprofiles"),
		SingularQualifiedResource: inventoryv1alpha1.Resource("clusterprofile"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		ResetFieldsStrategy:       main,
		TableConvertor:            convertor,
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: selected.Attributes, TriggerFunc: selected.Triggers()}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, nil, err
	}
	return bounded.New(store, "cp"), bounded.NewStatus(store, newStatusStrategy(scheme)), nil
}

// convertor prints the column Display Name for those who ask for wide tables; in v1alpha2 it is the
// first for all.
var convertor = table.ByVersion{
	V1alpha1: table.New(append(slices.Clone(columns), displayName(table.Wide)), func(profile *inventoryv1alpha1.ClusterProfile) []any {
		return append(cells(profile), profile.Spec.DisplayName)
	}),
	V1alpha2: table.New(slices.Insert(slices.Clone(columns), 0, displayName(0)), func(profile *inventoryv1alpha1.ClusterProfile) []any {
		return slices.Insert(cells(profile), 0, any(profile.Spec.DisplayName))
	}),
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Manager", Type: "string", Description: "Cluster manager that owns the profile."},
	{Name: "Version", Type: "string", Description: "Kubernetes version of the cluster, if it is known."},
	{Name: "Healthy", Type: "string", Description: "Status of the condition ControlPlaneHealthy, Unknown if there is none."},
}

func displayName(priority int32) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{
		Name: "Display Name", Type: "string", Priority: priority, Description: "Name of the cluster for people.",
	}
}

func cells(profile *inventoryv1alpha1.ClusterProfile) []any {
	return []any{profile.Spec.ClusterManager.Name, profile.Status.Version.Kubernetes, healthy(profile.Status.Conditions)}
}

func healthy(conditions []metav1.Condition) string {
	condition := meta.FindStatusCondition(conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	if condition == nil {
		return string(metav1.ConditionUnknown)
	}
	return string(condition.Status)
}

// Getter reads ClusterProfiles from the store of this process, for the minting pipeline. Use
// NewGetter.
type Getter struct {
	store  rest.Getter
	stored *sharedread.Reader[types.NamespacedName, *inventoryv1alpha1.ClusterProfile]
}

// NewGetter returns the Getter of a store.
func NewGetter(store rest.Getter) *Getter {
	g := &Getter{store: store}
	g.stored = sharedread.NewReader(clock.RealClock{},
		func(ctx context.Context, name types.NamespacedName) (*inventoryv1alpha1.ClusterProfile, error) {
			return g.get(ctx, name, "")
		})
	return g
}

// Cached implements mint.Profiles: it reads the watch cache.
func (g *Getter) Cached(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	return g.get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, "0")
}

// Stored implements mint.Profiles: it reads etcd.
func (g *Getter) Stored(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	return g.stored.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name})
}

func (g *Getter) get(ctx context.Context, name types.NamespacedName, resourceVersion string) (*inventoryv1alpha1.ClusterProfile, error) {
	// Without this request info, errors of the store would name the resource of the request that
	// ctx comes from.
	gv := inventoryv1alpha1.SchemeGroupVersion
	ctx = genericapirequest.WithRequestInfo(genericapirequest.WithNamespace(ctx, name.Namespace), &genericapirequest.RequestInfo{
		IsResourceRequest: true,
		APIPrefix:         "apis",
		APIGroup:          gv.Group,
		APIVersion:        gv.Version,
		Namespace:         name.Namespace,
		Resource:          "clusterprofiles",
	})
	obj, err := g.store.Get(ctx, name.Name, &metav1.GetOptions{ResourceVersion: resourceVersion})
	if err != nil {
		return nil, err
	}
	return toProfile(obj), nil
}
