// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// SchedulerName is the schedulerName of the PlacementDecisions.
	SchedulerName = "clusterpass"
	// maxSlice is how many clusters a PlacementDecision may have (KEP-5313).
	maxSlice = 100
)

// sliceName returns the name of a slice, by its index.
func sliceName(placement string, index int) string {
	return fmt.Sprintf("%s-decision-%d", placement, index+1)
}

// divide returns the PlacementDecisions for groups of clusters, in their order, and what the status says of the groups.
func divide(placement *v1alpha1.Placement, groups []scheduling.Group) ([]*inventoryv1alpha1.PlacementDecision, []v1alpha1.DecisionGroupStatus) {
	var all []*inventoryv1alpha1.PlacementDecision
	var lastStatus []v1alpha1.DecisionGroupStatus
	for i, group := range groups {
		status := v1alpha1.DecisionGroupStatus{
			DecisionGroupIndex: int32(i), DecisionGroupName: group.Name, ClusterCount: int32(len(group.Clusters)), //nolint:gosec // a hub has no such number of objects
		}
		for clusters := range slices.Chunk(group.Clusters, maxSlice) {
			slice := newSlice(placement, sliceName(placement.Name, len(all)), len(all), clusters)
			slice.Labels[v1alpha1.LabelDecisionGroupIndex] = strconv.Itoa(i)
			slice.Labels[v1alpha1.LabelDecisionGroupName] = group.Name
			status.Decisions = append(status.Decisions, slice.Name)
			all = append(all, slice)
		}
		lastStatus = append(lastStatus, status)
	}
	return all, lastStatus
}

func newSlice(placement *v1alpha1.Placement, name string, index int, clusters []types.NamespacedName) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: placement.Namespace, Name: name,
			Labels: map[string]string{
				inventoryv1alpha1.DecisionKeyLabel:   decision.Key(placement.Name),
				inventoryv1alpha1.DecisionIndexLabel: strconv.Itoa(index),
				// Workloads name the Placement by the label clusterpass.dev/placement.
				inventoryv1alpha1.PlacementKeyLabel: decision.Key(placement.Name),
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(placement, v1alpha1.SchemeGroupVersion.WithKind(kind))},
		},
		Decisions:     []inventoryv1alpha1.ClusterDecision{},
		SchedulerName: SchedulerName,
	}
	for _, cluster := range clusters {
		slice.Decisions = append(slice.Decisions, inventoryv1alpha1.ClusterDecision{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Namespace: cluster.Namespace, Name: cluster.Name},
		})
	}
	return slice
}

// same returns whether two slices have the same content.
func same(have, want *inventoryv1alpha1.PlacementDecision) bool {
	return equality.Semantic.DeepEqual(have.Decisions, want.Decisions) && have.SchedulerName == want.SchedulerName &&
		hasAll(have.Labels, want.Labels) && hasAll(have.Annotations, want.Annotations)
}

func hasAll(have, want map[string]string) bool {
	for key, value := range want {
		if is, ok := have[key]; !ok || is != value {
			return false
		}
	}
	return true
}
