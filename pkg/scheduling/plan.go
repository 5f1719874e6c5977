// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Plan applies one policy to a fleet, pass by pass. It caches the results for each cluster, and the
// order of the clusters. A pass evaluates only the clusters that have changed, whose results have
// expired, or that the placement has selected or dropped since. It moves only those whose score has
// changed. Otherwise, a thousand placements that use scores would evaluate and sort the whole fleet
// whenever one score changes. What it decides never depends on what it caches.
//
// One goroutine at a time may use it.
type Plan struct {
	fleet  *Fleet
	policy *Policy

	// now and view are those of the last pass. own is how often the decision in view has each cluster.
	now  int64
	view view
	own  map[types.NamespacedName]int32
	// maxOthers is the highest number of decisions of other placements with the same cluster, if the
	// policy has the prioritiser Balance.
	maxOthers int32

	// slots are all slots of the view: 0, 1 and so on.
	slots []int32
	// Results for each cluster, by slot: until has the first instant at which they may change, and
	// values the readings of each prioritiser, by prioritiser and slot.
	until  []int64
	states []state
	values [][]float64

	// Results for all clusters. next is the least of until.
	candidates, eligible, stale int
	next                        int64
	// scales are those of the prioritisers.
	scales []scale
	// ranked are the slots of eligible clusters, best first. dirty are the slots whose results have
	// changed since it was sorted.
	ranked, dirty []int32

	// Memory that is used again.
	evaluating candidate
	readings   []float64
	spare      []int32
	totals     []int64
}

// state is the result for one cluster.
type state struct {
	// total is the weighted score of an eligible cluster.
	total int64
	// added is that of the entry.
	added uint64
	// own is how often the placement's decision has the cluster.
	own int32
	// candidate is for clusters of the placement's namespaces, eligible for those of them that no
	// filter refused.
	candidate, eligible bool
	// unknown is for eligible clusters that lack a score, stale for those of which one has expired.
	unknown, stale bool
	// dirty is for clusters in Plan.dirty, ranked for those in Plan.ranked, misplaced for those at a
	// wrong place in it.
	dirty, ranked, misplaced bool
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

// NewPlan returns a plan that has not evaluated any cluster.
func NewPlan(fleet *Fleet, policy *Policy) *Plan {
	return &Plan{
		fleet:    fleet,
		policy:   policy,
		now:      math.MinInt64,
		values:   make([][]float64, len(policy.prioritizers)),
		scales:   make([]scale, len(policy.prioritizers)),
		readings: make([]float64, len(policy.prioritizers)),
	}
}

// Run returns what the policy decides at an instant. It does not change the fleet: SetDecision
// records the decision there.
func (p *Plan) Run(now time.Time) Result {
	result, _ := p.RunWhile(now, unlimited)
	return result
}

// RunWhile is Run that calls mayContinue before it evaluates a cluster. If mayContinue returns
// false, RunWhile stops, decides nothing and returns false. The next call continues from there.
func (p *Plan) RunWhile(now time.Time, mayContinue func() bool) (result Result, finished bool) {
	if !p.update(now, mayContinue) {
		return Result{}, false
	}
	return p.result(p.choose()), true
}

// NextPass returns the first instant, not before now, at which a pass may decide otherwise although
// no change affects the policy; zero if there is none. It evaluates what has changed: scores that
// were renewed since the last pass put the next one off. It calls mayContinue like RunWhile, and
// returns now if mayContinue has returned false.
func (p *Plan) NextPass(now time.Time, mayContinue func() bool) time.Time {
	if !p.observe(now.UnixNano(), mayContinue) || len(p.dirty) > 0 {
		return now
	}
	return p.nextInstant()
}

func unlimited() bool { return true }

// update brings everything up to date except for the selection. It returns false if mayContinue has
// returned false.
func (p *Plan) update(now time.Time, mayContinue func() bool) (finished bool) {
	if !p.observe(now.UnixNano(), mayContinue) {
		return false
	}
	p.rerank(p.rescale())
	return true
}

// observe brings the results for each cluster up to date. It returns false if mayContinue has
// returned false.
func (p *Plan) observe(now int64, mayContinue func() bool) (finished bool) {
	last := p.view
	p.view = p.fleet.view(p.policy.placement)
	p.grow()
	changed, known := p.view.since(last.version)
	if !known || now < p.now {
		// At an earlier time, what had expired may not have.
		for slot := range p.until {
			p.until[slot] = outdated
		}
	}
	p.now = now
	for _, slot := range changed {
		p.until[slot] = outdated
	}
	p.observeDecision(&last.decision)
	finished = p.evaluateOutdated(mayContinue)
	if last.decisionVersion != p.view.decisionVersion {
		p.observeOthers()
	}
	return finished
}

// outdated is the value of Plan.until for clusters that must be evaluated.
const outdated int64 = math.MinInt64

// grow adds the slots that are new in the view.
func (p *Plan) grow() {
	for range p.view.size() - len(p.until) {
		p.slots = append(p.slots, int32(len(p.slots))) //nolint:gosec // there are not that many clusters
		p.until, p.states = append(p.until, outdated), append(p.states, state{})
		for i := range p.values {
			p.values[i] = append(p.values[i], math.NaN())
		}
	}
}

// observeDecision has the clusters evaluated that the placement has selected or dropped.
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
			p.until[slot] = outdated
		}
	}
}

// evaluateOutdated evaluates the clusters whose results are outdated or have expired. It returns
// false if mayContinue has returned false. The next pass then evaluates the others.
func (p *Plan) evaluateOutdated(mayContinue func() bool) (finished bool) {
	p.next, finished = forever, true
	for slot := range p.until {
		if p.until[slot] <= p.now {
			if finished = finished && mayContinue(); finished {
				p.evaluate(int32(slot))
			}
		}
		p.next = min(p.next, p.until[slot])
	}
	return finished
}

// evaluate updates the results for one cluster.
func (p *Plan) evaluate(slot int32) {
	s := &p.states[slot]
	before := *s
	for i := range p.readings {
		p.readings[i] = math.NaN()
	}
	p.until[slot] = forever
	*s = state{total: before.total, dirty: before.dirty, ranked: before.ranked, misplaced: before.misplaced}
	if e := p.view.entry(slot); p.policy.isCandidate(e) {
		s.candidate, s.added, s.own = true, e.added, p.own[e.NamespacedName]
		p.evaluating = p.candidate(slot)
		if until, ok := p.policy.accept(&p.evaluating); ok {
			p.until[slot] = min(until, p.read(s, &p.evaluating))
		}
	}
	p.count(&before, -1)
	p.count(s, 1)
	s.misplaced = s.misplaced || s.unknown != before.unknown || s.added != before.added
	changed := s.misplaced || s.eligible != before.eligible || s.stale != before.stale
	for i, value := range p.readings {
		old := p.values[i][slot]
		changed = changed || value != old && !(math.IsNaN(value) && math.IsNaN(old))
		p.values[i][slot] = value
	}
	if changed {
		p.mark(slot)
	}
}

func (p *Plan) candidate(slot int32) candidate {
	s := &p.states[slot]
	return candidate{entry: p.view.entry(slot), now: p.now, selected: s.own > 0, others: p.view.counts[slot] - s.own}
}

// read takes the readings of a cluster that no filter refused, and returns until when they are
// valid.
func (p *Plan) read(s *state, c *candidate) (until int64) {
	until, s.eligible = forever, true
	unknown := false
	for i := range p.policy.prioritizers {
		r := p.policy.prioritizers[i].read(c)
		s.stale = s.stale || r.expired
		if !r.known {
			unknown = true
			continue
		}
		p.readings[i] = r.value
		until = min(until, r.until)
	}
	if unknown && p.policy.missing == v1alpha1.MissingScoreExclude {
		s.eligible, s.stale = false, false
		for i := range p.readings {
			p.readings[i] = math.NaN()
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
		p.maxOthers = p.view.maxOthers()
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
		p.scales[i] = p.policy.prioritizers[i].scale(p.values[i], p.maxOthers)
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
