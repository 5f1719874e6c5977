// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Fleet is the clusters that placements choose from, and what placements have chosen. It is safe for concurrent use: plans
// read it, each for the time of one pass.
type Fleet struct {
	mu sync.RWMutex
	// version grows with each change of a cluster.
	version uint64
	slots   map[types.NamespacedName]int32
	// A cluster keeps its slot for as long as it is here. Slots that are free have no member.
	members  []*member
	changed  []uint64
	position []int32
	byName   []int32
	free     []int32

	named named
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
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.slots)
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
	at, _ := slices.BinarySearchFunc(f.byName, name, func(slot int32, name types.NamespacedName) int {
		return compareNames(f.members[slot].NamespacedName, name)
	})
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
