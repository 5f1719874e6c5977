// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Plan follows one policy over a fleet. It remembers what it found, so that a pass looks again at
// those clusters only that have changed, whose tolerations or figures have expired, or that the
// placement has selected or dropped since. What it decides never depends on what it remembers. It
// is safe for concurrent use.
type Plan struct {
	mu     sync.Mutex
	fleet  *Fleet
	policy *Policy

	now             int64
	view            view
	own             map[types.NamespacedName]int32
	candidates      int
	eligible, stale int
	next            int64
	// looking is the candidate that is looked at, and were are its readings before. They are here so
	// as not to be allocated each time.
	looking       candidate
	were          []float64
	dirty         []int32
	ranked, spare []int32

	// totals are made anew each time.
	totals []int64

	// All of these are by slot, and values by prioritiser and slot.
	until  []int64
	states []state
	values [][]float64
	scales []scale
}

// state is what a plan found out about a cluster.
type state struct {
	// total is the weighted score of an eligible cluster.
	total int64
	// joined is that of the member.
	joined uint64
	// own is how often the placement's decision names the cluster.
	own int32
	// candidate is for clusters of the placement's namespaces, eligible for those of them that no
	// filter refused.
	candidate, eligible bool
	// unknown is for eligible clusters that lack a score, stale for those of which one has expired.
	unknown, stale bool
	// dirty is for clusters in Plan.dirty, ranked for those in Plan.ranked, moved for those at a wrong
	// place in it.
	dirty, ranked, moved bool
}

// Result is what a pass decided.
type Result struct {
	// Decisions are the selected clusters, best first.
	Decisions []types.NamespacedName
	// Groups are the same, divided. There is always one.
	Groups []Group
	// Candidates counts the clusters of the placement's namespaces, Eligible those that no filter
	// refused, and Stale those of them that have a score which counts and has expired.
	Candidates, Eligible, Stale int
	// Unscheduled is by how many clusters the decision is short of what is asked for.
	Unscheduled int
	// Moved says that the decision names other clusters than the one before.
	Moved bool
	// Next is the first instant at which a pass may decide otherwise though nothing has changed; zero
	// if there is none.
	Next time.Time
}

// NewPlan returns a plan that has not looked at any cluster.
func NewPlan(fleet *Fleet, policy *Policy) *Plan {
	return &Plan{
		fleet:  fleet,
		policy: policy,
		now:    math.MinInt64,
		values: make([][]float64, len(policy.prioritizers)),
		scales: make([]scale, len(policy.prioritizers)),
	}
}

// Run returns what the policy decides at an instant. It writes nothing down: the fleet learns of
// the decision by SetDecision.
func (p *Plan) Run(now time.Time) Result {
	result, _ := p.RunWhile(now, unlimited)
	return result
}

// RunWhile is Run that stops when more, which it calls before each cluster, returns false. It has
// decided nothing then, and returns false. Call it again to continue from there.
func (p *Plan) RunWhile(now time.Time, more func() bool) (result Result, finished bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.observe(now.UnixNano(), more) {
		return Result{}, false
	}
	p.rerank(p.rescale())
	return p.result(p.choose()), true
}

// ObserveNext looks at what has changed, and returns the first instant, not before now, at which a
// pass may decide otherwise although no change touches the policy; zero if there is none. What has
// been renewed since the last pass is taken into account: heartbeats put it off. More is asked as
// by RunWhile.
func (p *Plan) ObserveNext(now time.Time, more func() bool) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.observe(now.UnixNano(), more) || len(p.dirty) > 0 {
		return now
	}
	return p.nextInstant()
}

func unlimited() bool { return true }

// pass brings everything up to date but the selection.
func (p *Plan) pass(now int64) {
	p.observe(now, unlimited)
	p.rerank(p.rescale())
}

// observe brings up to date what is known of each cluster. It returns false if it was not to go on.
func (p *Plan) observe(now int64, more func() bool) (finished bool) {
	if now < p.now {
		// What had expired may not have.
		for slot := range p.until {
			p.until[slot] = math.MinInt64
		}
	}
	p.now = now
	last := p.view
	p.view = p.fleet.view(p.policy.placement, &last)
	p.grow()
	p.observeDecision(&last.decision)
	finished = p.lookAgain(last.version, more)
	if last.named != p.view.named {
		p.observeOthers()
	}
	return finished
}

func (p *Plan) grow() {
	size := p.view.size()
	if len(p.until) == size {
		return
	}
	p.states = append(p.states, make([]state, size-len(p.states))...)
	for i := range p.values {
		p.values[i] = slices.Grow(p.values[i], size-len(p.values[i]))[:size]
	}
	for len(p.until) < size {
		for i := range p.values {
			p.values[i][len(p.until)] = math.NaN()
		}
		p.until = append(p.until, math.MinInt64)
	}
}

// observeDecision has those clusters looked at that the placement has selected or dropped.
func (p *Plan) observeDecision(last *Decision) {
	if slices.Equal(last.Clusters, p.view.decision.Clusters) {
		return
	}
	old := p.own
	p.own = make(map[types.NamespacedName]int32, len(p.view.decision.Clusters))
	for _, name := range p.view.decision.Clusters {
		p.own[name]++
	}
	for _, name := range slices.Concat(last.Clusters, p.view.decision.Clusters) {
		if slot, here := p.view.find(name); here && old[name] != p.own[name] {
			p.until[slot] = math.MinInt64
		}
	}
}

// lookAgain looks at the clusters that may have changed since a version of the fleet. It returns
// false if it was not to go on: those that are left are looked at by the next.
func (p *Plan) lookAgain(since uint64, more func() bool) (finished bool) {
	slots, known := p.view.since(since)
	for _, slot := range slots {
		p.until[slot] = math.MinInt64
	}
	p.next, finished = forever, true
	for slot := range p.until {
		if !known {
			p.until[slot] = math.MinInt64
		}
		if p.until[slot] <= p.now {
			if finished = finished && more(); finished {
				p.evaluate(int32(slot))
			}
		}
		p.next = min(p.next, p.until[slot])
	}
	return finished
}

// evaluate looks at one cluster.
func (p *Plan) evaluate(slot int32) {
	s := &p.states[slot]
	was := *s
	p.were = p.were[:0]
	for i := range p.values {
		p.were = append(p.were, p.values[i][slot])
		p.values[i][slot] = math.NaN()
	}
	p.until[slot] = forever
	*s = state{total: was.total, dirty: was.dirty, ranked: was.ranked, moved: was.moved}
	if m := p.view.member(slot); m != nil && p.policy.namespaces.Has(m.Namespace) {
		p.judge(slot)
	}
	p.count(&was, -1)
	p.count(s, 1)
	s.moved = s.moved || s.unknown != was.unknown || s.joined != was.joined
	if s.moved || s.eligible != was.eligible || s.stale != was.stale || !p.same(slot) {
		p.mark(slot)
	}
}

// judge looks at a cluster of the placement's namespaces.
func (p *Plan) judge(slot int32) {
	s := &p.states[slot]
	m := p.view.member(slot)
	s.candidate, s.joined, s.own = true, m.joined, p.own[m.NamespacedName]
	p.looking = p.candidate(slot)
	if until, ok := p.policy.filter(&p.looking); ok {
		p.until[slot] = min(until, p.read(slot, &p.looking))
	}
}

// same returns whether the readings of a cluster are what they were.
func (p *Plan) same(slot int32) bool {
	for i, was := range p.were {
		if value := p.values[i][slot]; value != was && !(math.IsNaN(value) && math.IsNaN(was)) {
			return false
		}
	}
	return true
}

func (p *Plan) candidate(slot int32) candidate {
	s := &p.states[slot]
	return candidate{member: p.view.member(slot), now: p.now, selected: s.own > 0, others: p.view.counts[slot] - s.own}
}

// read takes the readings of a cluster that no filter refused, and returns until when they are
// valid.
func (p *Plan) read(slot int32, c *candidate) (until int64) {
	s := &p.states[slot]
	until, s.eligible = forever, true
	unknown := false
	for i := range p.policy.prioritizers {
		r := p.policy.prioritizers[i].read(c)
		s.stale = s.stale || r.expired
		if !r.known {
			unknown = true
			continue
		}
		p.values[i][slot] = r.value
		until = min(until, r.until)
	}
	if unknown && p.policy.missing == v1alpha1.MissingScoreExclude {
		s.eligible, s.stale = false, false
		for i := range p.values {
			p.values[i][slot] = math.NaN()
		}
		return forever
	}
	s.unknown = unknown && p.policy.missing == v1alpha1.MissingScoreLast
	return until
}

// observeOthers takes the readings that depend on what other placements have selected.
func (p *Plan) observeOthers() {
	for i := range p.policy.prioritizers {
		if _, balances := p.policy.prioritizers[i].prioritizer.(balance); !balances {
			continue
		}
		values := p.values[i]
		for slot, count := range p.view.counts {
			s := &p.states[slot]
			if value := float64(count - s.own); s.eligible && value != values[slot] {
				values[slot] = value
				p.mark(int32(slot))
			}
		}
	}
}

// rescale returns whether the total of any cluster may have changed.
func (p *Plan) rescale() (all bool) {
	for i := range p.policy.prioritizers {
		was := p.scales[i]
		p.scales[i] = p.policy.prioritizers[i].scale(&sample{p.values[i], p.view.most})
		all = all || was != p.scales[i]
	}
	return all
}

func (p *Plan) count(s *state, by int) {
	if s.candidate {
		p.candidates += by
	}
	if s.eligible {
		p.eligible += by
	}
	if s.stale {
		p.stale += by
	}
}

func (p *Plan) mark(slot int32) {
	if s := &p.states[slot]; !s.dirty {
		s.dirty = true
		p.dirty = append(p.dirty, slot)
	}
}
