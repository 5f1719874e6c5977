// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"math"
	"slices"
)

// rerank brings the order of eligible clusters up to date: all, or those that are dirty, may have another total.
func (p *Plan) rerank(all bool) {
	moved := 0
	if all {
		for slot := range p.states {
			moved += p.retotal(int32(slot))
		}
	} else {
		for _, slot := range p.dirty {
			moved += p.retotal(slot)
		}
	}
	// From about this many on, sorting everything takes no longer.
	const few = 8
	switch {
	case moved == 0:
	case moved*few > p.eligible:
		p.sort()
	default:
		p.merge(all)
	}
	for _, slot := range p.dirty {
		p.states[slot].dirty = false
	}
	p.dirty = p.dirty[:0]
}

// retotal adds up the scores of a cluster, and returns 1 if it is at a wrong place now, or else 0.
func (p *Plan) retotal(slot int32) int {
	s := &p.states[slot]
	was := s.total
	if s.eligible {
		s.total = p.total(slot)
	}
	s.moved = s.eligible != s.ranked || s.eligible && (s.moved || s.total != was)
	if s.moved {
		return 1
	}
	return 0
}

func (p *Plan) total(slot int32) int64 {
	var total int64
	for i := range p.policy.prioritizers {
		if value := p.values[i][slot]; !math.IsNaN(value) {
			total += p.policy.prioritizers[i].weight * p.policy.prioritizers[i].score(value, p.scales[i])
		}
	}
	return total
}

// compare orders eligible clusters: what is known before what is not, then by total, then by name.
func (p *Plan) compare(a, b int32) int {
	x, y := &p.states[a], &p.states[b]
	if x.unknown != y.unknown {
		if y.unknown {
			return -1
		}
		return 1
	}
	if x.total != y.total {
		return cmp.Compare(y.total, x.total)
	}
	return cmp.Compare(p.fleet.position[a], p.fleet.position[b])
}

// sort ranks all eligible clusters anew. They come by name, which is the order of those that score the same.
func (p *Plan) sort() {
	for _, slot := range p.ranked {
		p.states[slot].ranked, p.states[slot].moved = false, false
	}
	p.ranked = slices.Grow(p.ranked[:0], p.eligible)
	for _, slot := range p.fleet.byName {
		if s := &p.states[slot]; s.eligible {
			s.ranked, s.moved = true, false
			p.ranked = append(p.ranked, slot)
		}
	}
	slices.SortFunc(p.ranked, p.compare)
}

// merge moves the few clusters that are at a wrong place.
func (p *Plan) merge(all bool) {
	var entering []int32
	enter := func(slot int32) {
		if s := &p.states[slot]; s.moved && s.eligible {
			entering = append(entering, slot)
		}
	}
	if all {
		for _, slot := range p.fleet.byName {
			enter(slot)
		}
	} else {
		for _, slot := range p.dirty {
			enter(slot)
		}
	}
	slices.SortFunc(entering, p.compare)
	staying := slices.DeleteFunc(p.ranked, func(slot int32) bool {
		s := &p.states[slot]
		s.ranked = s.ranked && !s.moved
		return s.moved
	})
	merged := slices.Grow(p.unmerged[:0], p.eligible)
	for _, slot := range entering {
		at, _ := slices.BinarySearchFunc(staying, slot, p.compare)
		merged = append(append(merged, staying[:at]...), slot)
		staying = staying[at:]
		p.states[slot].ranked, p.states[slot].moved = true, false
	}
	p.unmerged, p.ranked = p.ranked, append(merged, staying...)
}
