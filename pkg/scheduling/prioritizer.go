// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// prioritizer scores clusters, in two steps: a reading for each cluster, and a scale for all readings. So a cluster that
// changes has to be read alone, unless the scale moves.
type prioritizer interface {
	// name is what explanations call the prioritiser.
	name() string
	// read returns what the score of the cluster is made of.
	read(c *candidate) reading
	// scale returns what the readings of all clusters that were not refused say together.
	scale(s *sample) scale
	// score returns the score that a reading has on a scale.
	score(value float64, s scale) int64
}

// reading is what a prioritiser knows of a cluster.
type reading struct {
	value float64
	// until is the first instant at which it may differ.
	until int64
	known bool
	// expired says that it is not known any longer.
	expired bool
}

// sample is what a scale is made of.
type sample struct {
	// values are the readings of clusters that were not refused; NaN stands for all others.
	values []float64
	// most is how often the cluster that the decisions of other placements name most often is named.
	most int32
}

// scale is the range that readings are compared with.
type scale struct{ low, high float64 }

// absolute is for prioritisers whose readings are scores.
type absolute struct{}

func (absolute) scale(*sample) scale { return scale{} }

func (absolute) score(value float64, _ scale) int64 { return int64(value) }

// steady prefers what is selected already.
type steady struct{ absolute }

func (steady) name() string { return v1alpha1.PrioritizerSteady }

func (steady) read(c *candidate) reading {
	r := reading{until: forever, known: true}
	if c.selected {
		r.value = v1alpha1.MostScore
	}
	return r
}

// addOn takes scores from ClusterScores.
type addOn struct {
	absolute
	v1alpha1.AddOnScore
}

func (a addOn) name() string { return "AddOn/" + a.ResourceName + "/" + a.ScoreName }

func (a addOn) read(c *candidate) reading {
	figures, expired := c.figures(a.ResourceName)
	if figures == nil {
		return reading{until: forever, expired: expired}
	}
	score, known := figures.Scores[a.ScoreName]
	return reading{value: float64(score), until: figures.expiry(), known: known}
}

// balance prefers what other placements select less often.
type balance struct{}

func (balance) name() string { return v1alpha1.PrioritizerBalance }

func (balance) read(c *candidate) reading {
	return reading{value: float64(c.others), until: forever, known: true}
}

func (balance) scale(s *sample) scale { return scale{high: float64(s.most)} }

// score is even, as in OCM: the half is cut off before it is doubled.
func (balance) score(value float64, s scale) int64 {
	if value == 0 {
		return v1alpha1.MostScore
	}
	return 2 * int64(100*(0.5-value/s.high))
}

// allocatable prefers clusters where pods can ask for more of a resource. The clusters that are not refused are compared
// with each other: the least has -100, the most 100.
type allocatable struct {
	prioritizer string
	// value is the name of the amount in the ClusterScores for usage.
	value string
}

func (a allocatable) name() string { return a.prioritizer }

func (a allocatable) read(c *candidate) reading {
	figures, expired := c.figures(v1alpha1.UsageResourceName)
	if figures == nil {
		return reading{until: forever, expired: expired}
	}
	value, known := figures.Values[a.value]
	return reading{value: value.AsApproximateFloat64(), until: figures.expiry(), known: known}
}

func (a allocatable) scale(s *sample) scale {
	var all scale
	first := true
	for _, value := range s.values {
		switch {
		case math.IsNaN(value):
		case first:
			all, first = scale{value, value}, false
		default:
			all = scale{min(all.low, value), max(all.high, value)}
		}
	}
	return all
}

func (a allocatable) score(value float64, s scale) int64 {
	if s.high == s.low {
		return v1alpha1.MostScore
	}
	return int64(((value-s.low)/(s.high-s.low) - 0.5) * 2 * 100)
}
