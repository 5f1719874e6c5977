// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision reads PlacementDecisions (KEP-5313).
package decision

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// Sorted returns the slices of one decision in the order of their decision-index. Those that have none come last, by name.
func Sorted(all []*inventoryv1alpha1.PlacementDecision) []*inventoryv1alpha1.PlacementDecision {
	return slices.SortedFunc(slices.Values(all), func(a, b *inventoryv1alpha1.PlacementDecision) int {
		return cmp.Or(cmp.Compare(index(a), index(b)), cmp.Compare(a.Name, b.Name))
	})
}

func index(slice *inventoryv1alpha1.PlacementDecision) int {
	place, err := strconv.Atoi(slice.Labels[inventoryv1alpha1.DecisionIndexLabel])
	if err != nil {
		return math.MaxInt
	}
	return place
}

// Clusters returns the clusters in a slice, in their order.
func Clusters(slice *inventoryv1alpha1.PlacementDecision) []types.NamespacedName {
	clusters := make([]types.NamespacedName, len(slice.Decisions))
	for i := range slice.Decisions {
		ref := slice.Decisions[i].ClusterProfileRef
		clusters[i] = types.NamespacedName{Namespace: cmp.Or(ref.Namespace, slice.Namespace), Name: ref.Name}
	}
	return clusters
}

// AllClusters returns the clusters in the slices of one decision, best first, each once: one that is being moved from one slice
// into another is in both.
func AllClusters(all []*inventoryv1alpha1.PlacementDecision) []types.NamespacedName {
	var clusters []types.NamespacedName
	seen := sets.New[types.NamespacedName]()
	for _, slice := range Sorted(all) {
		for _, cluster := range Clusters(slice) {
			if !seen.Has(cluster) {
				seen.Insert(cluster)
				clusters = append(clusters, cluster)
			}
		}
	}
	return clusters
}
