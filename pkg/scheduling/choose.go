// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
)

// choose returns the selected clusters, best first.
func (p *Plan) choose() []int32 {
	number := len(p.ranked)
	if p.policy.number != nil {
		number = min(number, int(*p.policy.number))
	}
	if len(p.policy.spreadConstraints) > 0 {
		return p.spread(p.contenders(len(p.ranked)), number)
	}
	if !p.stabilizes() {
		return slices.Clone(p.ranked[:number])
	}
	return p.rankSelected(p.contenders(number))
}

// stabilizes returns whether clusters that are selected already have an advantage.
func (p *Plan) stabilizes() bool {
	return len(p.own) > 0 && (p.policy.stabilization.MinimumAdvantage > 0 || p.dwells())
}

// dwells returns whether selected clusters keep their places for now, regardless of all scores.
func (p *Plan) dwells() bool { return p.now < p.dwellEnd() }

func (p *Plan) dwellEnd() int64 {
	if p.view.decision.MovedAt.IsZero() {
		return p.now
	}
	return p.view.decision.MovedAt.Add(time.Duration(p.policy.stabilization.DwellSeconds) * time.Second).UnixNano()
}

// contenders returns the first clusters in the order of selection: by rank, except that selected
// clusters keep their advantage.
func (p *Plan) contenders(number int) []int32 {
	if !p.stabilizes() {
		return p.ranked[:number]
	}
	var selected []int32
	for _, slot := range p.ranked {
		if p.states[slot].own > 0 {
			selected = append(selected, slot)
		}
	}
	chosen := make([]int32, 0, number)
	for _, other := range p.ranked {
		if p.states[other].own > 0 {
			continue
		}
		// Selected clusters come first, unless this one outranks them.
		for len(selected) > 0 && (p.dwells() || !p.outranks(other, selected[0])) {
			chosen, selected = append(chosen, selected[0]), selected[1:]
		}
		if len(chosen) >= number {
			break
		}
		chosen = append(chosen, other)
	}
	return append(chosen, selected...)[:number]
}

// outranks returns whether a cluster is better than another one by the required advantage. A
// cluster with known scores is always better than one with an unknown score.
func (p *Plan) outranks(other, selected int32) bool {
	x, y := &p.states[other], &p.states[selected]
	advantage := p.policy.stabilization.MinimumAdvantage
	switch {
	case x.unknown != y.unknown:
		return y.unknown
	case advantage > 0:
		return x.total-y.total >= advantage
	default:
		return p.compare(other, selected) < 0
	}
}

// rankSelected ranks the selected clusters. Those that were selected before keep their order,
// unless one outranks another. New ones are inserted by rank.
func (p *Plan) rankSelected(contenders []int32) []int32 {
	left := sets.New(contenders...)
	chosen := make([]int32, 0, len(contenders))
	for _, name := range p.view.decision.Clusters {
		if slot, here := p.view.find(name); here && left.Has(slot) {
			left.Delete(slot)
			chosen = append(chosen, slot)
		}
	}
	for _, slot := range contenders {
		if left.Has(slot) {
			chosen = append(chosen, slot)
		}
	}
	for i, slot := range chosen {
		before := p.states[slot].own > 0
		for ; i > 0; i-- {
			ahead := chosen[i-1]
			if before && !p.outranks(slot, ahead) || !before && p.compare(slot, ahead) > 0 {
				break
			}
			chosen[i-1], chosen[i] = slot, ahead
		}
	}
	return chosen
}

func (p *Plan) result(chosen []int32) Result {
	entries := make([]*entry, len(chosen))
	kept := 0
	for i, slot := range chosen {
		entries[i] = p.view.entry(slot)
		if p.states[slot].own > 0 {
			kept++
		}
	}
	r := Result{
		Decisions:  namesOf(entries),
		Groups:     p.policy.groups.divide(entries),
		Candidates: p.candidates,
		Eligible:   p.eligible,
		Stale:      p.stale,
		Moved:      kept != len(chosen) || kept != len(p.own),
		Next:       p.nextInstant(),
	}
	if p.policy.number != nil {
		r.Unscheduled = int(*p.policy.number) - len(chosen)
	}
	return r
}

func (p *Plan) nextInstant() time.Time {
	if end := p.dwellEnd(); end > p.now && end < p.next {
		return instant(end)
	}
	return instant(p.next)
}
