// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func validateSpread(spec []v1alpha1.SpreadConstraint, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(spec) > v1alpha1.MaxSpreadConstraints {
		errs = append(errs, field.TooMany(path, len(spec), v1alpha1.MaxSpreadConstraints))
	}
	for i := range spec {
		c, path := &spec[i], path.Index(i)
		if c.TopologyKey == "" {
			errs = append(errs, field.Required(path.Child("topologyKey"), ""))
		}
		errs = append(errs, oneOf(c.TopologyKeyType, path.Child("topologyKeyType"), v1alpha1.TopologyKeyLabel, v1alpha1.TopologyKeyClaim)...)
		if skew := ptr.Deref(c.MaxSkew, 1); skew < 1 {
			errs = append(errs, field.Invalid(path.Child("maxSkew"), skew, "less than 1"))
		}
		action := cmp.Or(c.WhenUnsatisfiable, v1alpha1.ScheduleAnyway)
		errs = append(errs, oneOf(action, path.Child("whenUnsatisfiable"), v1alpha1.ScheduleAnyway, v1alpha1.DoNotSchedule)...)
	}
	return errs
}

// topologies counts the selected clusters in each topology of one constraint.
type topologies struct {
	v1alpha1.SpreadConstraint
	ids    map[string]int
	counts []int
	// minCount and maxCount are the minimum and maximum of counts.
	minCount, maxCount int
}

// noTopology is for clusters without the constraint's key.
const noTopology = -1

// id returns the topology of a cluster.
func (t *topologies) id(e *entry) int {
	values := e.Labels
	if t.TopologyKeyType == v1alpha1.TopologyKeyClaim {
		values = e.Properties
	}
	value, here := values[t.TopologyKey]
	if !here {
		return noTopology
	}
	id, known := t.ids[value]
	if !known {
		id = len(t.counts)
		t.ids[value] = id
		t.counts = append(t.counts, 0)
	}
	return id
}

// keeps returns whether one more cluster of a topology is within the maximum skew.
func (t *topologies) keeps(id int) bool {
	return id != noTopology && t.counts[id]+1-t.minCount <= int(ptr.Deref(t.MaxSkew, 1))
}

// score returns 100 for topologies with the fewest selected clusters, and -100 for those with the
// most.
func (t *topologies) score(id int) int64 {
	switch {
	case id == noTopology:
		return v1alpha1.LeastScore
	case t.maxCount == t.minCount:
		return v1alpha1.MostScore
	}
	return v1alpha1.MostScore - 200*int64(t.counts[id]-t.minCount)/int64(t.maxCount-t.minCount)
}

func (t *topologies) add(id int) {
	if id != noTopology {
		t.counts[id]++
		t.minCount, t.maxCount = slices.Min(t.counts), slices.Max(t.counts)
	}
}

// bucket has the clusters that are in the same topologies, in the order of selection.
type bucket struct {
	ids [v1alpha1.MaxSpreadConstraints]int
	// places are the places of the clusters among all.
	places []int
}

// spread selects clusters one by one. Only clusters that satisfy all hard constraints can be
// selected. Those that satisfy the soft constraints come first, in the order of the constraints,
// and among these the best cluster. Each prefix of the result is spread, too.
func (p *Plan) spread(order []int32, number int) []int32 {
	constraints, buckets := p.topologies(order)
	var chosen []int32
	for len(chosen) < number {
		var best *bucket
		var bestPick pick
		for _, b := range buckets {
			if len(b.places) == 0 {
				continue
			}
			if next, ok := p.pick(constraints, b, order[b.places[0]]); ok && (best == nil || next.before(&bestPick)) {
				best, bestPick = b, next
			}
		}
		if best == nil {
			return chosen
		}
		chosen = append(chosen, order[bestPick.place])
		best.places = best.places[1:]
		for i := range constraints {
			constraints[i].add(best.ids[i])
		}
	}
	return chosen
}

func (p *Plan) topologies(order []int32) ([]topologies, []*bucket) {
	var constraints []topologies
	for _, constraint := range p.policy.spreadConstraints {
		constraints = append(constraints, topologies{SpreadConstraint: constraint, ids: map[string]int{}})
	}
	byIDs := map[[v1alpha1.MaxSpreadConstraints]int]*bucket{}
	var buckets []*bucket
	for place, slot := range order {
		var ids [v1alpha1.MaxSpreadConstraints]int
		for i := range constraints {
			ids[i] = constraints[i].id(p.view.entry(slot))
		}
		b := byIDs[ids]
		if b == nil {
			b = &bucket{ids: ids}
			byIDs[ids] = b
			buckets = append(buckets, b)
		}
		b.places = append(b.places, place)
	}
	return constraints, buckets
}

// pick is the rank of a bucket's first cluster.
type pick struct {
	// broken has a bit for each soft constraint, the highest for the first.
	broken  uint8
	stays   bool
	unknown bool
	total   int64
	place   int
}

// pick returns the rank of a bucket's first cluster, or false if that cannot be selected.
func (p *Plan) pick(constraints []topologies, b *bucket, slot int32) (pick, bool) {
	s := &p.states[slot]
	next := pick{stays: s.own > 0 && p.dwells(), unknown: s.unknown, total: s.total, place: b.places[0]}
	if s.own > 0 {
		next.total += p.policy.stabilization.MinimumAdvantage
	}
	var score int64
	for i := range constraints {
		t := &constraints[i]
		if !t.keeps(b.ids[i]) {
			if t.WhenUnsatisfiable == v1alpha1.DoNotSchedule {
				return pick{}, false
			}
			next.broken |= 1 << (v1alpha1.MaxSpreadConstraints - 1 - i)
		}
		score += t.score(b.ids[i])
	}
	next.total += p.policy.spreadWeight * (score / int64(len(constraints)))
	return next, true
}

func (a *pick) before(b *pick) bool {
	switch {
	case a.stays != b.stays:
		return a.stays
	case a.broken != b.broken:
		return a.broken < b.broken
	case a.unknown != b.unknown:
		return b.unknown
	case a.total != b.total:
		return a.total > b.total
	}
	return a.place < b.place
}
