// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// pageSize is how many members are copied when one of them changes.
const pageSize = 256

// roster has the clusters of a fleet.
type roster struct {
	// version counts the changes of clusters.
	version uint64
	// changes are the slots that changed last, the latest at the end. It is append-only: views share
	// it.
	changes []int32
	// pages have the members by slot; nil for free slots. A cluster keeps its slot while it is in the
	// fleet.
	pages [][]*member
	// byName has the slots in the order of the clusters' names. position has the index in byName, by
	// slot.
	byName, position []int32
}

// size returns the number of slots.
func (r *roster) size() int { return len(r.position) }

func (r *roster) member(slot int32) *member { return r.pages[slot/pageSize][slot%pageSize] }

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
		return compareNames(r.member(slot).NamespacedName, name)
	})
}
