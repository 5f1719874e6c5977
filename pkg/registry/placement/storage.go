// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/author"
	"clusterpass.dev/pkg/registry/internal/bounded"
	"clusterpass.dev/pkg/registry/internal/table"
)

// NewREST returns the storage of placements and of placements/status. In scheme, the Go type must
// be registered both for v1alpha1 and for the internal version.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*bounded.Store, *bounded.Status, error) {
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
	return bounded.New(store, "pl"), bounded.NewStatus(store, newStatusStrategy(scheme)), nil
}

var columns = []metav1.TableColumnDefinition{
	{Name: "Succeeded", Type: "string", Description: "Whether as many clusters are selected as requested; if not, the reason."},
	{Name: "Selected", Type: "integer", Description: "How many clusters are selected."},
	{Name: "Eligible", Type: "integer", Description: "How many clusters meet all hard requirements."},
	{Name: "Candidates", Type: "integer", Priority: table.Wide, Description: "How many clusters are in the cluster sets."},
	{Name: "Author", Type: "string", Priority: table.Wide,
		Description: "User who last changed the spec. Clusters of other namespaces count only if this user may list them."},
}

func cells(placement *v1alpha1.Placement) []any {
	return []any{
		table.Condition(placement.Status.Conditions, v1alpha1.PlacementSatisfied),
		int64(placement.Status.NumberOfSelectedClusters),
		int64(placement.Status.NumberOfEligibleClusters),
		int64(placement.Status.NumberOfCandidateClusters),
		author.Name(placement.Spec.Author),
	}
}
