// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/decision"
)

// movingIndex is the decision-index of the first slice in between: they come after all others.
const movingIndex = 1_000_000

// step is one write of a slice: to create it where have is nil, to delete it where want is.
type step struct {
	have, want *inventoryv1alpha1.PlacementDecision
}

// steps returns the writes that turn have into want. After each of them, every cluster that stays
// selected is in some slice: a cluster that moves is written where it goes before it is removed
// where it was. If clusters change places between full slices, that takes temporary slices.
func (s slicer) steps(have, want []*inventoryv1alpha1.PlacementDecision) []step {
	pending := compare(have, want)
	// seen counts in how many slices each cluster is.
	seen := map[types.NamespacedName]int{}
	for _, slice := range have {
		count(seen, slice, 1)
	}
	stays := map[types.NamespacedName]bool{}
	for _, slice := range want {
		for _, cluster := range decision.Clusters(slice) {
			stays[cluster] = seen[cluster] > 0
		}
	}
	var ordered []step
	for len(pending) > 0 {
		next := slices.IndexFunc(pending, func(write step) bool { return len(write.lost(seen, stays)) == 0 })
		if next < 0 {
			for _, slice := range s.inBetween(pending, seen, stays) {
				ordered = append(ordered, step{want: slice})
				count(seen, slice, 1)
				pending = append(pending, step{have: slice})
			}
			continue
		}
		ordered = append(ordered, pending[next])
		count(seen, pending[next].have, -1)
		count(seen, pending[next].want, 1)
		pending = slices.Delete(pending, next, next+1)
	}
	return ordered
}

// compare returns the writes that are needed, in the order of the slices, those that delete last.
func compare(have, want []*inventoryv1alpha1.PlacementDecision) []step {
	there := map[string]*inventoryv1alpha1.PlacementDecision{}
	for _, slice := range have {
		there[slice.Name] = slice
	}
	var needed []step
	for _, slice := range want {
		if existing := there[slice.Name]; existing == nil || !same(existing, slice) {
			needed = append(needed, step{existing, slice})
		}
		delete(there, slice.Name)
	}
	for _, slice := range have {
		if there[slice.Name] != nil {
			needed = append(needed, step{have: slice})
		}
	}
	return needed
}

func count(seen map[types.NamespacedName]int, slice *inventoryv1alpha1.PlacementDecision, by int) {
	if slice == nil {
		return
	}
	for _, cluster := range decision.Clusters(slice) {
		seen[cluster] += by
	}
}

// lost returns the clusters that stay selected, and would be in no slice after the step.
func (s step) lost(seen map[types.NamespacedName]int, stays map[types.NamespacedName]bool) []types.NamespacedName {
	after := map[types.NamespacedName]int{}
	count(after, s.have, -1)
	count(after, s.want, 1)
	var lost []types.NamespacedName
	for cluster, by := range after {
		if by < 0 && stays[cluster] && seen[cluster]+by <= 0 {
			lost = append(lost, cluster)
		}
	}
	return lost
}

// inBetween returns temporary slices with all clusters that pending steps would lose meanwhile.
func (s slicer) inBetween(
	pending []step, seen map[types.NamespacedName]int, stays map[types.NamespacedName]bool,
) []*inventoryv1alpha1.PlacementDecision {
	var moving []types.NamespacedName
	for _, blocked := range pending {
		moving = append(moving, blocked.lost(seen, stays)...)
	}
	slices.SortFunc(moving, func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	var between []*inventoryv1alpha1.PlacementDecision
	for clusters := range slices.Chunk(slices.Compact(moving), maxSlice) {
		name := fmt.Sprintf("%s-moving-%d", s.placement.Name, len(between)+1)
		between = append(between, s.newSlice(name, movingIndex+len(between), clusters))
	}
	return between
}
