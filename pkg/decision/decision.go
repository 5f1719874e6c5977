// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package decision reads PlacementDecisions (KEP-5313), and says which labels a Placement's have,
// and whether the hub serves any.
package decision

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/profiles"
	"clusterpass.dev/pkg/words"
)

// PlacementKind is the kind of Placements.
var PlacementKind = v1alpha1.SchemeGroupVersion.WithKind("Placement")

// ErrNotServed says that the hub has no PlacementDecisions.
var ErrNotServed = fmt.Errorf("the hub serves PlacementDecisions in no version of %s that clusterpass knows: "+
	"if a CustomResourceDefinition serves its ClusterProfiles, install that of PlacementDecisions, too (docs/placement.md, Decisions)",
	inventoryv1alpha1.Group)

// Served returns nil if the hub serves PlacementDecisions, and ErrNotServed if it does not. Any
// other error says why that is unknown.
func Served(ctx context.Context, client discovery.ServerResourcesInterface) error {
	_, err := profiles.NewVersions(client).Resource(ctx, profiles.PlacementDecisions)
	if apimeta.IsNoMatchError(err) {
		return ErrNotServed
	}
	return err
}

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

// Tied returns the names of those slices of one decision that share their decision-index with
// others, in the order of Sorted. KEP-5313 gives each slice an index of its own; some schedulers
// give all slices of a group that of the group. A slice without an index shares none.
func Tied(all []*inventoryv1alpha1.PlacementDecision) []string {
	count := map[int]int{}
	for _, slice := range all {
		count[index(slice)]++
	}
	var names []string
	for _, slice := range Sorted(all) {
		if at := index(slice); at != math.MaxInt && count[at] > 1 {
			names = append(names, slice.Name)
		}
	}
	return names
}

// maxTied bounds how many slices WarnTied names.
const maxTied = 4

// WarnTied returns a warning for users about slices of one decision that share their
// decision-index; it is empty if none do.
func WarnTied(all []*inventoryv1alpha1.PlacementDecision) string {
	names := Tied(all)
	if len(names) == 0 {
		return ""
	}
	return "PlacementDecisions that share their decision-index are ordered by name: " + words.Some(names, ", ", maxTied)
}

// OwnerOf returns the owner reference of a slice of a Placement (clusterpass.dev), and nil of any
// other slice. Other groups have a kind Placement, too.
func OwnerOf(slice *inventoryv1alpha1.PlacementDecision) *metav1.OwnerReference {
	owner := metav1.GetControllerOfNoCopy(slice)
	if owner == nil || owner.Kind != PlacementKind.Kind || owner.APIVersion != PlacementKind.GroupVersion().String() {
		return nil
	}
	return owner
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
