// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"time"
)

// quantile returns the value below which the fraction q (0 to 1) of sorted lies, interpolated
// between its two neighbours; 0 if there is none. The median is quantile 0.5.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	position := q * float64(len(sorted)-1)
	below := int(position)
	if below == len(sorted)-1 {
		return sorted[below]
	}
	return sorted[below] + (position-float64(below))*(sorted[below+1]-sorted[below])
}

// figures are what one side of a measurement came to.
type figures struct {
	Calls int `json:"calls"`
	// P50 and P99 are of the latencies of all calls, in milliseconds.
	P50 float64 `json:"p50Milliseconds"`
	P99 float64 `json:"p99Milliseconds"`
	// Rate is all calls by all the time that they took, per second.
	Rate float64 `json:"ratePerSecond"`
}

// summarize returns the figures of slices together.
func summarize(slices []slice) figures {
	var all slice
	for _, s := range slices {
		all.latencies = append(all.latencies, s.latencies...)
		all.elapsed += s.elapsed
	}
	sorted := all.sorted()
	return figures{Calls: len(sorted), P50: quantile(sorted, 0.5), P99: quantile(sorted, 0.99), Rate: all.rate()}
}

// ratio is of one quantity, ours to the other side's.
type ratio struct {
	// Median is that of the ratios of all rounds. The two slices of a round run one right after the
	// other, so that what slows the machine down for longer than a round slows both.
	Median float64 `json:"median"`
	// Lowest and Highest are those of a single round: how far to trust the median.
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
}

// ratios returns the ratio of quantity between ours and theirs, round by round. Rounds in which
// either is 0, because no call went well, are left out.
func ratios(ours, theirs []slice, quantity func(slice) float64) ratio {
	var all []float64
	for round := range min(len(ours), len(theirs)) {
		a, b := quantity(ours[round]), quantity(theirs[round])
		if a > 0 && b > 0 {
			all = append(all, a/b)
		}
	}
	if len(all) == 0 {
		return ratio{}
	}
	slices.Sort(all)
	return ratio{Median: quantile(all, 0.5), Lowest: all[0], Highest: all[len(all)-1]}
}

// milliseconds returns d in milliseconds.
func milliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}
