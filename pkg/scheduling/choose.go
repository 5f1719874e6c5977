// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"time"
)

// choose returns the selected clusters, best first.
func (p *Plan) choose() []int32 {
	number := len(p.ranked)
	if p.policy.number != nil {
		number = min(number, int(*p.policy.number))
	}
	if p.policy.spread.active() {
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
	next := func(from int, own bool) int {
		for from < len(p.ranked) && p.states[p.ranked[from]].own > 0 != own {
			from++
		}
		return from
	}
	chosen := make([]int32, 0, number)
	selected, other := next(0, true), next(0, false)
	for len(chosen) < number {
		switch {
		case selected == len(p.ranked), other < len(p.ranked) && p.displaces(p.ranked[other], p.ranked[selected]):
			chosen = append(chosen, p.ranked[other])
			other = next(other+1, false)
		default:
			chosen = append(chosen, p.ranked[selected])
			selected = next(selected+1, true)
		}
	}
	return chosen
}

// displaces returns whether a cluster takes the place of another one, which is selected.
func (p *Plan) displaces(other, selected int32) bool {
	return !p.dwells() && p.outranks(other, selected)
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
func (p *Plan) rankSelected(chosen []int32) []int32 {
	at := make(map[int32]int, len(chosen))
	for _, name := range p.view.decision.Clusters {
		if slot, here := p.view.find(name); here {
			at[slot] = len(at)
		}
	}
	slices.SortFunc(chosen, func(a, b int32) int {
		x, before := at[a]
		y, too := at[b]
		switch {
		case before && too:
			return x - y
		case before:
			return -1
		case too:
			return 1
		}
		return p.compare(a, b)
	})
	for i, slot := range chosen {
		_, before := at[slot]
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
	members := make([]*member, len(chosen))
	kept := 0
	for i, slot := range chosen {
		members[i] = p.view.member(slot)
		if p.states[slot].own > 0 {
			kept++
		}
	}
	r := Result{
		Decisions:  namesOf(members),
		Groups:     p.policy.groups.divide(members),
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
