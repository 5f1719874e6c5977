// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// prioritizer scores clusters in two steps: with a reading for each cluster, and with one scale for
// all readings. If one cluster changes, only its reading has to be updated, unless the scale
// changes, too.
type prioritizer interface {
	// name returns the name of the prioritiser in explanations.
	name() string
	// read returns the reading of a cluster, from which its score is computed.
	read(c *candidate) reading
	// scale returns the scale for the readings of all eligible clusters. values has NaN for all other
	// clusters. maxOthers is the highest number of decisions of other placements with the same
	// cluster.
	scale(values []float64, maxOthers int32) scale
	// score returns the score of a reading on a scale.
	score(value float64, s scale) int64
}

// reading is the value of a cluster for a prioritiser.
type reading struct {
	value float64
	// until is the first instant at which the reading may change.
	until int64
	known bool
	// expired says that the value is unknown because it has expired.
	expired bool
}

// scale is the range that readings are compared with.
type scale struct{ low, high float64 }

// absolute is for prioritisers whose readings are scores.
type absolute struct{}

func (absolute) scale([]float64, int32) scale { return scale{} }

func (absolute) score(value float64, _ scale) int64 { return int64(value) }

// steady prefers clusters that are selected already.
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
	figures, expired := c.freshFigures(a.ResourceName)
	if figures == nil {
		return reading{until: forever, expired: expired}
	}
	score, known := figures.Scores[a.ScoreName]
	return reading{value: float64(score), until: figures.expiry(), known: known}
}

// balance prefers clusters that other placements select less often.
type balance struct{}

func (balance) name() string { return v1alpha1.PrioritizerBalance }

func (balance) read(c *candidate) reading {
	return reading{value: float64(c.others), until: forever, known: true}
}

func (balance) scale(_ []float64, maxOthers int32) scale { return scale{high: float64(maxOthers)} }

// score returns even numbers, as in OCM: half of the score is truncated before it is doubled.
func (balance) score(value float64, s scale) int64 {
	if value == 0 {
		return v1alpha1.MostScore
	}
	return 2 * int64(100*(0.5-value/s.high))
}

// allocatable prefers clusters where pods can request more of a resource. It compares all eligible
// clusters: the lowest amount scores -100, the highest 100.
type allocatable struct {
	prioritizer string
	// value is the name of the amount in the ClusterScores for usage.
	value string
}

func (a allocatable) name() string { return a.prioritizer }

func (a allocatable) read(c *candidate) reading {
	figures, expired := c.freshFigures(v1alpha1.UsageResourceName)
	if figures == nil {
		return reading{until: forever, expired: expired}
	}
	value, known := figures.Values[a.value]
	return reading{value: value.AsApproximateFloat64(), until: figures.expiry(), known: known}
}

func (a allocatable) scale(values []float64, _ int32) scale {
	all := scale{math.Inf(1), math.Inf(-1)}
	for _, value := range values {
		if !math.IsNaN(value) {
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
