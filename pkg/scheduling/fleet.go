// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Fleet is the clusters that placements choose from, and what placements have chosen. It is safe for concurrent use, and
// nobody waits for a pass: plans look at views of it.
type Fleet struct {
	mu sync.Mutex
	roster
	slots map[types.NamespacedName]int32
	free  []int32
	named named

	// What a view has is copied before it is changed. These say what no view has.
	ownsOrder, ownsPages bool
	ownsPage             []bool
}

// view is a fleet at one moment, as one placement sees it. What is in it never changes.
type view struct {
	roster
	// counts are how often decisions name each cluster, by slot, and named is their version.
	counts []int32
	named  uint64
	// decision is the placement's own, and most is how often others name the cluster that they name most often.
	decision Decision
	most     int32
}

// member is a cluster with what is computed of it once.
type member struct {
	Cluster
	// joined is the version of the fleet that the cluster joined with. It tells clusters apart that had the same slot.
	joined uint64
	// object is what CEL expressions see.
	object func() map[string]any
}

// Decision is what a placement has selected.
type Decision struct {
	// Clusters are the selected ones, best first.
	Clusters []types.NamespacedName
	// MovedAt is when clusters were last selected, or ceased to be; zero if that is not known.
	MovedAt time.Time
}

// NewFleet returns an empty fleet.
func NewFleet() *Fleet {
	return &Fleet{slots: map[types.NamespacedName]int32{}, named: newNamed()}
}

// Set adds the cluster, or replaces what was known of it. It returns the change, or nil if no placement can decide otherwise
// for it: figures that are renewed before they expire, by the clock of now, make no difference.
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

// Delete removes the cluster. It returns the change, or nil if the cluster was not there.
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

// SetDecision tells what a placement has selected; an empty decision forgets the placement.
func (f *Fleet) SetDecision(placement types.NamespacedName, decision Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.named.set(placement, decision, f.slots)
}

// Len counts the clusters.
func (f *Fleet) Len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.slots)
}

// view returns the fleet as it is now. The last view tells what need not be counted again.
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

// renumber brings the positions from one on up to date.
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

// put has a slot changed.
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
