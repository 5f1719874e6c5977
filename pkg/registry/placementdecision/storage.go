// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placementdecision

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/registry/internal/bounded"
	registrystrategy "clusterpass.dev/pkg/registry/internal/strategy"
	"clusterpass.dev/pkg/registry/internal/table"
)

// convertor prints in v1alpha2 what upstream prints; our own columns are wide there.
var convertor = table.ByVersion{
	V1alpha1: table.New([]metav1.TableColumnDefinition{clusters(0), scheduler, writer},
		func(decision *inventoryv1alpha1.PlacementDecision) []any {
			return []any{int64(len(decision.Decisions)), decision.SchedulerName, writerOf(decision)}
		}),
	V1alpha2: table.New([]metav1.TableColumnDefinition{scheduler, clusters(table.Wide), writer},
		func(decision *inventoryv1alpha1.PlacementDecision) []any {
			return []any{decision.SchedulerName, int64(len(decision.Decisions)), writerOf(decision)}
		}),
}

var (
	scheduler = metav1.TableColumnDefinition{
		Name: "Scheduler", Type: "string", Description: "Scheduler that made the decision, if it says so.",
	}
	writer = metav1.TableColumnDefinition{
		Name: "Writer", Type: "string", Priority: table.Wide, Description: "User who has written the decision.",
	}
)

func clusters(priority int32) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{
		Name: "Clusters", Type: "integer", Priority: priority, Description: "How many clusters are chosen in this slice of the decision.",
	}
}

func writerOf(decision *inventoryv1alpha1.PlacementDecision) string {
	return decision.Annotations[v1alpha1.AnnotationDecisionWriter]
}

// NewREST returns the storage of placementdecisions. In scheme, the Go type must be registered both
// for v1alpha1 and for the internal version.
func NewREST(scheme *runtime.Scheme, optsGetter generic.RESTOptionsGetter) (*bounded.Store, error) {
	main := strategy{registrystrategy.New(scheme)}
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &inventoryv1alpha1.PlacementDecision{} },
		NewListFunc:               func() runtime.Object { return &inventoryv1alpha1.PlacementDecisionList{} },
		DefaultQualifiedResource:  inventoryv1alpha1.Resource("placementdecisions"),
		SingularQualifiedResource: inventoryv1alpha1.Resource("placementdecision"),
		CreateStrategy:            main,
		UpdateStrategy:            main,
		DeleteStrategy:            main,
		TableConvertor:            convertor,
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, err
	}
	return bounded.New(store, "pd"), nil
}
