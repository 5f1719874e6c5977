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
	// Rank is the place among all clusters that no filter refused, from 0, before stabilisation and
	// spreading; -1 if one did.
	Rank int
	// Selected is the place in the decision, from 0; -1 if the cluster is not selected.
	Selected int
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
	p.update(now, unlimited)
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
	if _, ok := p.policy.predicates.accept(&c); !ok {
		e.RefusedBy, e.Reason = FilterPredicates, p.policy.predicates.reason(&c)
		return e
	}
	if _, ok := p.policy.tolerations.accept(&c); !ok {
		e.RefusedBy, e.Reason = FilterTaints, p.policy.tolerations.reason(&c)
		return e
	}
	var unknown []string
	for i := range p.policy.prioritizers {
		w := &p.policy.prioritizers[i]
		r := w.read(&c)
		score := Score{Prioritizer: w.name(), Weight: w.weight, Known: r.known}
		if r.known {
			score.Score = w.score(r.value, p.scales[i])
		} else {
			unknown = append(unknown, w.name())
		}
		e.Scores = append(e.Scores, score)
	}
	if !s.eligible {
		slices.Sort(unknown)
		e.RefusedBy, e.Reason, e.Scores = FilterMissingScore, "not known: "+strings.Join(unknown, ", "), nil
		return e
	}
	e.Total = s.total
	return e
}

// passedOver says why a cluster of that rank is not selected.
func (p *Plan) passedOver(rank, selected int) string {
	switch {
	case p.policy.number == nil || selected < int(*p.policy.number):
		return "its topology has as many as maxSkew allows"
	case rank >= selected:
		return "enough others rank before it"
	case len(p.policy.spreadConstraints) > 0:
		return "others spread better"
	case p.dwells():
		return "selected clusters keep their places for dwellSeconds"
	default:
		return "it is not better than any selected cluster by minimumAdvantage"
	}
}
