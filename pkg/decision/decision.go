// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision reads PlacementDecisions (KEP-5313), and says which labels a Placement's have.
package decision

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// keyHash is how many hexadecimal digits of a hash end a decision-key that is made of a name too
// long for one.
const keyHash = 10

// Key returns the value of the labels multicluster.x-k8s.io/decision-key and placement-key of a
// Placement's PlacementDecisions: its name, or, if that is not valid as a label, a part of it and a
// hash.
func Key(placement string) string {
	if len(validation.IsValidLabelValue(placement)) == 0 {
		return placement
	}
	sum := sha256.Sum256([]byte(placement))
	return placement[:min(len(placement), validation.LabelValueMaxLength-keyHash-1)] + "-" + hex.EncodeToString(sum[:])[:keyHash]
}

// Sorted returns the slices of one decision in the order of their decision-index. Those that have
// none come last, by name.
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

// AllClusters returns the clusters in the slices of one decision, best first, each once: one that
// is being moved from one slice into another is in both.
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
