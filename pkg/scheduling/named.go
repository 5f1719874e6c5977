// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// named counts how often the decisions of placements have each cluster.
type named struct {
	// version grows with each change of a decision.
	version   uint64
	decisions map[types.NamespacedName]Decision
	// counts are by slot. absent has the counts, by name, of clusters that are not in the fleet.
	counts []int32
	// shared says that a view shares the counts: they must be copied before a change.
	shared bool
	absent map[types.NamespacedName]int32
	// times[n] is the number of clusters that n decisions have.
	times []int32
}

func newNamed() named {
	return named{decisions: map[types.NamespacedName]Decision{}, absent: map[types.NamespacedName]int32{}}
}

// share returns the counts for a view, which may keep them.
func (n *named) share() []int32 {
	n.shared = true
	return n.counts
}

func (n *named) own() {
	if n.shared {
		n.counts, n.shared = slices.Clone(n.counts), false
	}
}

// join moves the count of a cluster to its new slot.
func (n *named) join(slot int32, name types.NamespacedName) {
	n.own()
	if int(slot) == len(n.counts) {
		n.counts = append(n.counts, 0)
	}
	n.counts[slot] = n.absent[name]
	delete(n.absent, name)
}

// leave moves the count of a cluster from its slot to absent.
func (n *named) leave(slot int32, name types.NamespacedName) {
	n.own()
	if count := n.counts[slot]; count > 0 {
		n.absent[name] = count
	}
	n.counts[slot] = 0
}

func (n *named) set(placement types.NamespacedName, decision Decision, slots map[types.NamespacedName]int32) {
	old := n.decisions[placement]
	if slices.Equal(old.Clusters, decision.Clusters) && old.MovedAt.Equal(decision.MovedAt) {
		return
	}
	n.own()
	for _, name := range old.Clusters {
		n.count(name, slots, -1)
	}
	for _, name := range decision.Clusters {
		n.count(name, slots, 1)
	}
	decision.Clusters = slices.Clone(decision.Clusters)
	n.decisions[placement] = decision
	if len(decision.Clusters) == 0 {
		delete(n.decisions, placement)
	}
	n.version++
}

func (n *named) count(name types.NamespacedName, slots map[types.NamespacedName]int32, by int32) {
	var count int32
	if slot, here := slots[name]; here {
		n.counts[slot] += by
		count = n.counts[slot]
	} else if n.absent[name] += by; n.absent[name] > 0 {
		count = n.absent[name]
	} else {
		delete(n.absent, name)
	}
	n.shift(count-by, count)
}

// shift counts one cluster less with from decisions, and one more with to decisions.
func (n *named) shift(from, to int32) {
	for int(max(from, to)) >= len(n.times) {
		n.times = append(n.times, 0)
	}
	n.times[from]--
	n.times[to]++
}

// most returns the highest number of decisions with the same cluster, not counting the decision
// without.
func (n *named) most(without []types.NamespacedName, slots map[types.NamespacedName]int32) int32 {
	own := map[types.NamespacedName]int32{}
	for _, name := range without {
		own[name]++
	}
	total := func(name types.NamespacedName) int32 {
		if slot, here := slots[name]; here {
			return n.counts[slot]
		}
		return n.absent[name]
	}
	mine := map[int32]int32{}
	var most int32
	for name, count := range own {
		mine[total(name)]++
		most = max(most, total(name)-count)
	}
	for times := int32(len(n.times)) - 1; times > most; times-- { //nolint:gosec // no more than there are placements
		if n.times[times] > mine[times] {
			return times
		}
	}
	return most
}
