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

	// lastRoster and lastCounts are what the last view had.
	lastRoster roster
	lastCounts counts
}

// roster is the clusters.
type roster struct {
	// version grows with each change of a cluster, and changed is, by slot, the version of the last one.
	version uint64
	changed []uint64
	// members are by slot. A cluster keeps its slot for as long as it is here. Slots that are free have no member.
	members []*member
	// byName is the slots in the order of the clusters' names, and position, by slot, the place in it.
	byName, position []int32
}

// counts are how often decisions name clusters, by slot.
type counts struct {
	// roster and named are the versions that they are of.
	roster, named uint64
	bySlot        []int32
}

// view is a fleet at one moment, as one placement sees it. What is in it never changes.
type view struct {
	roster
	counts
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
	slot, known := f.slots[cluster.NamespacedName]
	if !known {
		slot = f.add(cluster.NamespacedName)
	}
	before := f.members[slot]
	m := &member{Cluster: cluster, joined: f.version + 1}
	if known {
		m.joined = before.joined
	}
	m.object = sync.OnceValue(func() map[string]any { return celObjects(&m.Cluster) })
	f.members[slot] = m
	f.touch(slot)
	if known && sameMeaning(&before.Cluster, &cluster, now) {
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
	before := f.members[slot]
	f.byName = slices.Delete(f.byName, int(f.position[slot]), int(f.position[slot])+1)
	f.renumber(f.position[slot])
	delete(f.slots, name)
	f.members[slot] = nil
	f.free = append(f.free, slot)
	f.named.leave(slot, name)
	f.touch(slot)
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

// view returns the fleet as it is now. The last view tells what need not be counted again; views share what has not changed.
func (f *Fleet) view(placement types.NamespacedName, last *view) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lastRoster.version != f.version {
		f.lastRoster = roster{f.version, slices.Clone(f.changed), slices.Clone(f.members), slices.Clone(f.byName), slices.Clone(f.position)}
	}
	if f.lastCounts.roster != f.version || f.lastCounts.named != f.named.version {
		f.lastCounts = counts{f.version, f.named.version, slices.Clone(f.named.counts)}
	}
	v := view{roster: f.lastRoster, counts: f.lastCounts, decision: f.named.decisions[placement], most: last.most}
	if last.named != v.named {
		v.most = f.named.most(v.decision.Clusters, f.slots)
	}
	return v
}

// find returns the slot of a cluster.
func (r *roster) find(name types.NamespacedName) (slot int32, here bool) {
	at, here := r.search(name)
	if !here {
		return 0, false
	}
	return r.byName[at], true
}

// search returns the place of a cluster among all by name, or where it would be.
func (r *roster) search(name types.NamespacedName) (at int, here bool) {
	return slices.BinarySearchFunc(r.byName, name, func(slot int32, name types.NamespacedName) int {
		return compareNames(r.members[slot].NamespacedName, name)
	})
}

func (f *Fleet) add(name types.NamespacedName) int32 {
	var slot int32
	if last := len(f.free) - 1; last >= 0 {
		slot, f.free = f.free[last], f.free[:last]
	} else {
		slot = int32(len(f.members)) //nolint:gosec // there are not that many clusters
		f.members = append(f.members, nil)
		f.changed = append(f.changed, 0)
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

func (f *Fleet) touch(slot int32) {
	f.version++
	f.changed[slot] = f.version
}
