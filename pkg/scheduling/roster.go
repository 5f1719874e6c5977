// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// pageSize is how many members are copied when one of them changes.
const pageSize = 256

// roster is the clusters of a fleet.
type roster struct {
	// version counts the changes of clusters.
	version uint64
	// changes are the slots that changed last, the latest at the end. Nothing before the end is ever written again.
	changes []int32
	// pages have the members by slot. A cluster keeps its slot for as long as it is here. Slots that are free have none.
	pages [][]*member
	// byName is the slots in the order of the clusters' names, and position, by slot, the place in it.
	byName, position []int32
}

// size counts the slots.
func (r *roster) size() int { return len(r.position) }

func (r *roster) member(slot int32) *member { return r.pages[slot/pageSize][slot%pageSize] }

// since returns the slots that changed since a version, or false if those are not known any longer.
func (r *roster) since(version uint64) (slots []int32, known bool) {
	count := r.version - version
	if count > uint64(len(r.changes)) {
		return nil, false
	}
	return r.changes[uint64(len(r.changes))-count:], true
}

// log notes that a slot changed. A plan that is behind by more changes than there are clusters does better to look at all.
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

// search returns the place of a cluster among all by name, or where it would be.
func (r *roster) search(name types.NamespacedName) (at int, here bool) {
	return slices.BinarySearchFunc(r.byName, name, func(slot int32, name types.NamespacedName) int {
		return compareNames(r.member(slot).NamespacedName, name)
	})
}
