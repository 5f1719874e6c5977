// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// FilterMissingScore is the name of the filter that refuses clusters of unknown scores, if the
// placement wants that.
const FilterMissingScore = "MissingScore"

// Explanation says why a cluster is selected, or why not.
type Explanation struct {
	Cluster types.NamespacedName
	// RefusedBy is the name of the first filter that refused the cluster; empty if none did.
	RefusedBy string
	// Reason says why the cluster is refused, or not selected; empty if it is selected.
	Reason string
	// Scores are those that were added up, by prioritiser.
	Scores []Score
	// Total is the weighted sum of the known scores.
	Total int64
	// Unknown says that a score is missing, and the cluster ranks after those of which all are known.
	Unknown bool
	// Rank is the place among all clusters that no filter refused, from 0, before stabilisation and
	// spreading; -1 if one did.
	Rank int
	// Selected is the place in the decision, from 0; -1 if the cluster is not selected.
	Selected int
	// ToleratedUntil is the first instant at which a taint may not be tolerated any longer; zero if
	// there is none.
	ToleratedUntil time.Time
}

// Score is what a prioritiser says of a cluster.
type Score struct {
	Prioritizer string
	Weight      int64
	// Score is 0 if it is not known.
	Score int64
	Known bool
}

// Explain returns what Run would, and why: one explanation for each candidate, by name.
func (p *Plan) Explain(now time.Time) (Result, []Explanation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(now.UnixNano())
	chosen := p.choose()
	var explanations []Explanation
	places := map[int32]int{}
	for _, slot := range p.view.byName {
		if p.states[slot].candidate {
			places[slot] = len(explanations)
			explanations = append(explanations, p.explain(slot))
		}
	}
	for rank, slot := range p.ranked {
		e := &explanations[places[slot]]
		e.Rank, e.Reason = rank, p.passedOver(rank, len(chosen))
	}
	for i, slot := range chosen {
		e := &explanations[places[slot]]
		e.Selected, e.Reason = i, ""
	}
	return p.result(chosen), explanations
}

func (p *Plan) explain(slot int32) Explanation {
	s, c := &p.states[slot], p.candidate(slot)
	e := Explanation{Cluster: c.NamespacedName, Rank: -1, Selected: -1}
	for _, f := range p.policy.filters {
		until, ok := f.passes(&c)
		if !ok && e.RefusedBy == "" {
			e.RefusedBy, e.Reason = f.name(), f.reason(&c)
		}
		if _, tolerates := f.(tolerations); tolerates && ok {
			e.ToleratedUntil = instant(until)
		}
	}
	if e.RefusedBy != "" {
		return e
	}
	for i := range p.policy.prioritizers {
		w := &p.policy.prioritizers[i]
		r := w.read(&c)
		score := Score{Prioritizer: w.name(), Weight: w.weight, Known: r.known}
		if r.known {
			score.Score = w.score(r.value, p.scales[i])
		}
		e.Scores = append(e.Scores, score)
	}
	if !s.eligible {
		e.RefusedBy, e.Reason = FilterMissingScore, missing(e.Scores)
		e.Scores = nil
		return e
	}
	e.Total, e.Unknown = s.total, s.unknown
	return e
}

// passedOver says why a cluster of that rank is not selected.
func (p *Plan) passedOver(rank, selected int) string {
	switch {
	case p.policy.number == nil || selected < int(*p.policy.number):
		return "its topology has as many as maxSkew allows"
	case rank >= selected:
		return "enough others rank before it"
	case p.policy.spread.active():
		return "others spread better"
	case p.dwells():
		return "selected clusters keep their places for dwellSeconds"
	default:
		return "it is not better than any selected cluster by minimumAdvantage"
	}
}

// missing names the scores that are not known.
func missing(scores []Score) string {
	var names []string
	for _, s := range scores {
		if !s.Known {
			names = append(names, s.Prioritizer)
		}
	}
	slices.Sort(names)
	return "not known: " + strings.Join(names, ", ")
}
