// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"
	"slices"
)

// insertDivisor bounds how many clusters at a wrong place are moved one by one: one in
// insertDivisor. If there are more, sorting all clusters takes no longer.
const insertDivisor = 8

// rerank updates the order of eligible clusters. The totals of all clusters, or only of dirty ones,
// may have changed.
func (p *Plan) rerank(all bool) {
	if all {
		p.retotal(p.slots)
	} else {
		p.retotal(p.dirty)
	}
	if entering, ok := p.leave(all); ok {
		p.enter(entering)
	} else {
		p.sort()
	}
	for _, slot := range p.dirty {
		p.states[slot].dirty, p.states[slot].misplaced = false, false
	}
	p.dirty = p.dirty[:0]
}

// retotal updates the weighted scores of clusters, and whether their places may have changed. It
// processes one prioritiser at a time, which is faster for many clusters.
func (p *Plan) retotal(slots []int32) {
	p.totals = slices.Grow(p.totals[:0], len(slots))[:len(slots)]
	clear(p.totals)
	for i := range p.policy.prioritizers {
		w, values, scale := &p.policy.prioritizers[i], p.values[i], p.scales[i]
		for j, slot := range slots {
			if value := values[slot]; !math.IsNaN(value) {
				p.totals[j] += w.weight * w.score(value, scale)
			}
		}
	}
	for j, slot := range slots {
		s := &p.states[slot]
		s.misplaced = s.misplaced || s.eligible != s.ranked || s.eligible && s.total != p.totals[j]
		s.total = p.totals[j]
	}
}

// sortKey is the key of a cluster in the order of eligible clusters. Sorting many clusters by their
// keys is faster than by their states.
type sortKey struct {
	total    int64
	position int32
	slot     int32
	unknown  bool
}

func (p *Plan) sortKey(slot int32) sortKey {
	s := &p.states[slot]
	return sortKey{s.total, p.view.position[slot], slot, s.unknown}
}

// compareKeys orders clusters with known scores first, then by total, then by name.
func compareKeys(a, b sortKey) int {
	switch {
	case a.unknown != b.unknown && b.unknown, a.unknown == b.unknown && a.total > b.total:
		return -1
	case a.unknown != b.unknown, a.total < b.total:
		return 1
	}
	return int(a.position - b.position)
}

func (p *Plan) compare(a, b int32) int { return compareKeys(p.sortKey(a), p.sortKey(b)) }

// leave removes clusters from the order that are at a wrong place, or no longer eligible. It
// returns the clusters to insert, or false if there are many: then all clusters must be sorted.
func (p *Plan) leave(all bool) (entering []int32, ok bool) {
	if !all && !slices.ContainsFunc(p.dirty, func(slot int32) bool { return p.states[slot].misplaced }) {
		return nil, true
	}
	maxEntering := len(p.ranked)/insertDivisor + insertDivisor
	for _, slot := range p.dirty {
		if s := &p.states[slot]; s.misplaced && s.eligible {
			entering = append(entering, slot)
		}
	}
	staying := p.ranked[:0]
	for _, slot := range p.ranked {
		s := &p.states[slot]
		switch {
		case len(entering) > maxEntering:
			return nil, false
		case s.dirty && s.misplaced:
			s.ranked = false
		case all && len(staying) > 0 && p.compare(staying[len(staying)-1], slot) > 0:
			// If the scale has changed, so have all totals, but few change their order.
			s.ranked = false
			entering = append(entering, slot)
		default:
			s.misplaced = false
			staying = append(staying, slot)
		}
	}
	p.ranked = staying
	return entering, len(entering) <= maxEntering
}

// enter inserts clusters at their places.
func (p *Plan) enter(entering []int32) {
	if len(entering) == 0 {
		return
	}
	slices.SortFunc(entering, p.compare)
	staying := p.ranked
	merged := slices.Grow(p.spare[:0], p.eligible)
	for _, slot := range entering {
		at, _ := slices.BinarySearchFunc(staying, slot, p.compare)
		merged = append(append(merged, staying[:at]...), slot)
		staying = staying[at:]
		p.states[slot].ranked, p.states[slot].misplaced = true, false
	}
	p.spare, p.ranked = p.ranked, append(merged, staying...)
}

// sort sorts all eligible clusters.
func (p *Plan) sort() {
	for _, slot := range p.dirty {
		p.states[slot].ranked = false
	}
	keys := make([]sortKey, 0, p.eligible)
	for _, slot := range p.view.byName {
		s := &p.states[slot]
		s.ranked, s.misplaced = s.eligible, false
		if s.eligible {
			keys = append(keys, p.sortKey(slot))
		}
	}
	slices.SortFunc(keys, compareKeys)
	p.ranked = slices.Grow(p.ranked[:0], len(keys))
	for i := range keys {
		p.ranked = append(p.ranked, keys[i].slot)
	}
}
