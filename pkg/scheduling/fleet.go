// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Fleet has the clusters that placements select from, and the decisions of placements. It is safe
// for concurrent use. A pass does not block it, because plans work on views of it.
type Fleet struct {
	mu sync.Mutex
	roster
	slots map[types.NamespacedName]int32
	free  []int32
	named named

	// Data that a view shares must be copied before a change. These fields say which data no view
	// shares.
	ownsOrder, ownsPages bool
	ownsPage             []bool
}

// view is an immutable snapshot of a fleet for one placement.
type view struct {
	roster
	// counts says how often decisions have each cluster, by slot. named is the version of counts.
	counts []int32
	named  uint64
	// decision is the placement's own decision. most is the highest number of other decisions with
	// the same cluster.
	decision Decision
	most     int32
}

// member is a cluster with data that is computed once.
type member struct {
	Cluster
	// joined is the version of the fleet at which the cluster was added. It distinguishes clusters
	// that had the same slot.
	joined uint64
	// object returns the variables of CEL expressions.
	object func() map[string]any
}

// Decision is the decision of a placement.
type Decision struct {
	// Clusters are the selected clusters, best first.
	Clusters []types.NamespacedName
	// MovedAt is when a cluster was last added to or removed from the decision; zero if unknown.
	MovedAt time.Time
}

// NewFleet returns an empty fleet.
func NewFleet() *Fleet {
	return &Fleet{slots: map[types.NamespacedName]int32{}, named: newNamed()}
}

// Set adds or replaces the cluster. It returns the change, or nil if no placement can decide
// differently because of it: figures that are renewed before they expire at now make no difference.
func (f *Fleet) Set(cluster Cluster, now time.Time) *Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &member{Cluster: cluster, joined: f.version + 1}
	m.object = sync.OnceValue(func() map[string]any { return celObjects(&m.Cluster) })
	slot, known := f.slots[cluster.NamespacedName]
	if !known {
		f.put(f.add(cluster.NamespacedName), m)
		return &Change{after: m, now: now.UnixNano()}
	}
	before := f.member(slot)
	m.joined = before.joined
	f.put(slot, m)
	if sameMeaning(&before.Cluster, &cluster, now) {
		return nil
	}
	return &Change{before: before, after: m, now: now.UnixNano()}
}

// Delete removes the cluster. It returns the change, or nil if there was no such cluster.
func (f *Fleet) Delete(name types.NamespacedName) *Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	slot, known := f.slots[name]
	if !known {
		return nil
	}
	before := f.member(slot)
	f.ownOrder()
	f.byName = slices.Delete(f.byName, int(f.position[slot]), int(f.position[slot])+1)
	f.renumber(f.position[slot])
	delete(f.slots, name)
	f.free = append(f.free, slot)
	f.named.leave(slot, name)
	f.put(slot, nil)
	return &Change{before: before}
}

// SetDecision records the decision of a placement. An empty decision removes the placement.
func (f *Fleet) SetDecision(placement types.NamespacedName, decision Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named.set(placement, decision, f.slots)
}

// Len returns the number of clusters.
func (f *Fleet) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.slots)
}

// view returns a snapshot of the fleet. The last view has counts that may still be valid.
func (f *Fleet) view(placement types.NamespacedName, last *view) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ownsOrder, f.ownsPages = false, false
	clear(f.ownsPage)
	v := view{roster: f.roster, counts: f.named.share(), named: f.named.version, decision: f.named.decisions[placement], most: last.most}
	if last.named != v.named {
		v.most = f.named.most(v.decision.Clusters, f.slots)
	}
	return v
}

func (f *Fleet) add(name types.NamespacedName) int32 {
	f.ownOrder()
	var slot int32
	if last := len(f.free) - 1; last >= 0 {
		slot, f.free = f.free[last], f.free[:last]
	} else {
		slot = int32(len(f.position)) //nolint:gosec // there are not that many clusters
		f.position = append(f.position, 0)
	}
	at, _ := f.search(name)
	f.byName = slices.Insert(f.byName, at, slot)
	f.renumber(int32(at)) //nolint:gosec // likewise
	f.slots[name] = slot
	f.named.join(slot, name)
	return slot
}

// renumber updates the positions from one on.
func (f *Fleet) renumber(from int32) {
	for i, slot := range f.byName[from:] {
		f.position[slot] = from + int32(i)
	}
}

func (f *Fleet) ownOrder() {
	if !f.ownsOrder {
		f.byName, f.position, f.ownsOrder = slices.Clone(f.byName), slices.Clone(f.position), true
	}
}

// put stores m in a slot, and logs the change.
func (f *Fleet) put(slot int32, m *member) {
	page := int(slot / pageSize)
	if !f.ownsPages {
		f.pages, f.ownsPages = slices.Clone(f.pages), true
	}
	if page == len(f.pages) {
		f.pages, f.ownsPage = append(f.pages, make([]*member, pageSize)), append(f.ownsPage, true)
	}
	if !f.ownsPage[page] {
		f.pages[page], f.ownsPage[page] = slices.Clone(f.pages[page]), true
	}
	f.pages[page][slot%pageSize] = m
	f.log(slot)
}
