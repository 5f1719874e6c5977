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
	// slots has the slot of each cluster that is in the fleet or in a decision. free are the slots of
	// no cluster.
	slots     map[types.NamespacedName]int32
	free      []int32
	decisions map[types.NamespacedName]Decision
	tally
	// orderShared and tallyShared say that a view shares the order of the roster, or the tally: they
	// must be copied before a change.
	orderShared, tallyShared bool
}

// tally counts how often decisions have each cluster.
type tally struct {
	// counts are by slot.
	counts []int32
	// decisionVersion counts the changes of decisions.
	decisionVersion uint64
}

// view is an immutable snapshot of a fleet for one placement.
type view struct {
	roster
	tally
	// decision is the placement's own decision.
	decision Decision
}

// entry is a cluster of the fleet with data that is computed once.
type entry struct {
	Cluster
	// added is the version of the fleet at which the cluster was added. It distinguishes clusters
	// that had the same slot.
	added uint64
	// object returns the variables of CEL expressions.
	object func() map[string]any
}

// Decision is the decision of a placement.
type Decision struct {
	// Clusters are the selected clusters, best first.
	Clusters []types.NamespacedName
	// MovedAt is when a cluster was last added to or removed from the decision; zero if unknown.
	MovedAt time.Time

	// slots are those of Clusters in the fleet that has the decision.
	slots []int32
}

// Change is what has changed about one cluster of a fleet.
type Change struct {
	// before is nil for a cluster that was added, and after for one that was deleted.
	before, after *entry
	now           int64
}

// NewFleet returns an empty fleet.
func NewFleet() *Fleet {
	return &Fleet{slots: map[types.NamespacedName]int32{}, decisions: map[types.NamespacedName]Decision{}}
}

// Set adds or replaces the cluster. It returns the change, or nil if no placement can decide
// differently because of it: figures that are renewed before they expire at now make no difference.
func (f *Fleet) Set(cluster Cluster, now time.Time) *Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := &entry{Cluster: cluster, added: f.version + 1}
	e.object = sync.OnceValue(func() map[string]any { return celObjects(&e.Cluster) })
	slot := f.slotFor(cluster.NamespacedName)
	before := f.entry(slot)
	if before == nil {
		f.copyOrder()
		at, _ := f.search(cluster.NamespacedName)
		f.byName = slices.Insert(f.byName, at, slot)
		f.renumber(int32(at)) //nolint:gosec // there are not that many clusters
	} else {
		e.added = before.added
	}
	f.put(slot, e)
	if before != nil && sameMeaning(&before.Cluster, &cluster, now) {
		return nil
	}
	return &Change{before: before, after: e, now: now.UnixNano()}
}

// Delete removes the cluster. It returns the change, or nil if there was no such cluster.
func (f *Fleet) Delete(name types.NamespacedName) *Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	slot, known := f.slots[name]
	if !known || f.entry(slot) == nil {
		return nil
	}
	before := f.entry(slot)
	f.copyOrder()
	at := f.position[slot]
	f.byName = slices.Delete(f.byName, int(at), int(at)+1)
	f.renumber(at)
	f.put(slot, nil)
	f.release(name, slot)
	return &Change{before: before}
}

// SetDecision records the decision of a placement. An empty decision removes the placement.
func (f *Fleet) SetDecision(placement types.NamespacedName, decision Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.decisions[placement]
	if slices.Equal(old.Clusters, decision.Clusters) && old.MovedAt.Equal(decision.MovedAt) {
		return
	}
	if f.tallyShared {
		f.counts, f.tallyShared = slices.Clone(f.counts), false
	}
	decision.slots = make([]int32, len(decision.Clusters))
	for i, name := range decision.Clusters {
		slot := f.slotFor(name)
		f.counts[slot]++
		decision.slots[i] = slot
	}
	for i, name := range old.Clusters {
		f.counts[old.slots[i]]--
		f.release(name, old.slots[i])
	}
	f.decisionVersion++
	if len(decision.Clusters) == 0 {
		delete(f.decisions, placement)
		return
	}
	decision.Clusters = slices.Clone(decision.Clusters)
	f.decisions[placement] = decision
}

// view returns a snapshot of the fleet.
func (f *Fleet) view(placement types.NamespacedName) view {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orderShared, f.tallyShared = true, true
	return view{roster: f.roster, tally: f.tally, decision: f.decisions[placement]}
}

// maxOthers returns the highest number of decisions of other placements with the same cluster.
func (v *view) maxOthers() int32 {
	others := slices.Concat(v.counts, []int32{0})
	for _, slot := range v.decision.slots {
		others[slot]--
	}
	return slices.Max(others)
}

// slotFor returns the slot of a cluster, which may be new. Views do not see what is appended here.
func (f *Fleet) slotFor(name types.NamespacedName) int32 {
	slot, known := f.slots[name]
	if known {
		return slot
	}
	if last := len(f.free) - 1; last >= 0 {
		slot, f.free = f.free[last], f.free[:last]
	} else {
		slot = int32(f.size()) //nolint:gosec // there are not that many clusters
		f.position, f.counts = append(f.position, 0), append(f.counts, 0)
		if slot%pageSize == 0 {
			f.pages = append(f.pages, make([]*entry, pageSize))
		}
	}
	f.slots[name] = slot
	return slot
}

// release frees a slot if its cluster is neither in the fleet nor in a decision.
func (f *Fleet) release(name types.NamespacedName, slot int32) {
	if f.entry(slot) == nil && f.counts[slot] == 0 {
		delete(f.slots, name)
		f.free = append(f.free, slot)
	}
}

// renumber updates the positions from one on.
func (f *Fleet) renumber(from int32) {
	for i, slot := range f.byName[from:] {
		f.position[slot] = from + int32(i)
	}
}

func (f *Fleet) copyOrder() {
	if f.orderShared {
		f.byName, f.position, f.orderShared = slices.Clone(f.byName), slices.Clone(f.position), false
	}
}

// put stores m in a slot, and logs the change. It copies the page, which views may share.
func (f *Fleet) put(slot int32, e *entry) {
	page := slot / pageSize
	f.pages = slices.Clone(f.pages)
	f.pages[page] = slices.Clone(f.pages[page])
	f.pages[page][slot%pageSize] = e
	f.log(slot)
}

// pageSize is how many entries are copied when one of them changes.
const pageSize = 256

// roster has the clusters of a fleet.
type roster struct {
	// version counts the changes of clusters.
	version uint64
	// changes are the slots that changed last, the latest at the end. It is append-only: views share
	// it.
	changes []int32
	// pages have the entries by slot; nil for slots whose cluster is not in the fleet. A cluster
	// keeps its slot while it is in the fleet or in a decision.
	pages [][]*entry
	// byName has the slots in the order of the clusters' names. position has the index in byName, by
	// slot.
	byName, position []int32
}

// size returns the number of slots.
func (r *roster) size() int { return len(r.position) }

func (r *roster) entry(slot int32) *entry { return r.pages[slot/pageSize][slot%pageSize] }

// since returns the slots that changed since a version, or false if these are no longer known.
func (r *roster) since(version uint64) (slots []int32, known bool) {
	count := r.version - version
	if count > uint64(len(r.changes)) {
		return nil, false
	}
	return r.changes[uint64(len(r.changes))-count:], true
}

// log records that a slot changed. It drops old changes: a plan that missed more changes than there
// are clusters evaluates all.
func (r *roster) log(slot int32) {
	if len(r.changes) > 2*r.size() {
		r.changes = slices.Clone(r.changes[r.size():])
	}
	r.changes = append(r.changes, slot)
	r.version++
}

// find returns the slot of a cluster.
func (r *roster) find(name types.NamespacedName) (slot int32, here bool) {
	at, here := r.search(name)
	if !here {
		return 0, false
	}
	return r.byName[at], true
}

// search returns the index of a cluster in byName, or the index at which to insert it.
func (r *roster) search(name types.NamespacedName) (at int, here bool) {
	return slices.BinarySearchFunc(r.byName, name, func(slot int32, name types.NamespacedName) int {
		return compareNames(r.entry(slot).NamespacedName, name)
	})
}
