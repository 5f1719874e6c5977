// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/selection"
	"clusterpass.dev/pkg/registry/internal/table"
)

const managerField = "spec.clusterManager.name"

var profileKind = inventoryv1alpha1.GroupVersion.WithKind(inventoryv1alpha1.ClusterProfileKind)

var selected = selection.New(profileKind, managerField, map[string]func(*inventoryv1alpha1.ClusterProfile) string{
	managerField: func(profile *inventoryv1alpha1.ClusterProfile) string { return profile.Spec.ClusterManager.Name },
})

// AddFieldLabelConversion makes scheme accept the field selectors of ClusterProfiles.
func AddFieldLabelConversion(scheme *runtime.Scheme) error { return selected.AddConversion(scheme) }

// NewREST returns the storage of clusterprofiles and of clusterprofiles/status. In scheme, the Go
// type must be registered both for v1alpha1 and for the internal version, and AddDefaults and
// AddFieldLabelConversion must have been called.
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
		TableConvertor:            table.New(columns, cells),
	}
	options := &generic.StoreOptions{RESTOptions: optsGetter, AttrFunc: selected.Attributes, TriggerFunc: selected.Triggers()}
	if err := store.CompleteWithOptions(options); err != nil {
		return nil, nil, err
	}
	return bounded.New(store, "cp"), bounded.NewStatus(store, newStatusStrategy(scheme)), nil
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Manager", Type: "string", Description: "Cluster manager that owns the profile."},
	{Name: "Version", Type: "string", Description: "Kubernetes version of the cluster, if it is known."},
	{Name: "Healthy", Type: "string", Description: "Status of the condition ControlPlaneHealthy, Unknown if there is none."},
	{Name: "Display Name", Type: "string", Priority: table.Wide, Description: "Name of the cluster for people."},
}

func cells(profile *inventoryv1alpha1.ClusterProfile) []any {
	return []any{
		profile.Spec.ClusterManager.Name,
		profile.Status.Version.Kubernetes,
		healthy(profile.Status.Conditions),
		profile.Spec.DisplayName,
	}
}

func healthy(conditions []metav1.Condition) string {
	condition := meta.FindStatusCondition(conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	if condition == nil {
		return string(metav1.ConditionUnknown)
	}
	return string(condition.Status)
}
