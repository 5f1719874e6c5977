// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuantile(t *testing.T) {
	tests := map[string]struct {
		sorted []float64
		q      float64
		want   float64
	}{
		"of nothing is 0":                               {nil, 0.5, 0},
		"of one value is that value":                    {[]float64{7}, 0.99, 7},
		"the median of an odd number is the middle one": {[]float64{1, 2, 9}, 0.5, 2},
		"the median of an even number is between two":   {[]float64{1, 2, 4, 9}, 0.5, 3},
		"0 is the lowest":                               {[]float64{1, 2, 9}, 0, 1},
		"1 is the highest":                              {[]float64{1, 2, 9}, 1, 9},
		"p99 lies near the end":                         {[]float64{0, 100}, 0.99, 99},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.InDelta(t, test.want, quantile(test.sorted, test.q), 1e-9)
		})
	}
}

// sliceOf returns a slice of one second with these latencies in milliseconds.
func sliceOf(latencies ...int) slice {
	s := slice{elapsed: time.Second}
	for _, latency := range latencies {
		s.latencies = append(s.latencies, time.Duration(latency)*time.Millisecond)
	}
	return s
}

func TestSummarize(t *testing.T) {
	tests := map[string]struct {
		slices []slice
		want   figures
	}{
		"no slices are no calls": {nil, figures{}},
		"slices are pooled, in whatever order their calls ended": {
			[]slice{sliceOf(5, 1), sliceOf(3)},
			figures{Calls: 3, P50: 3, P99: 4.96, Rate: 1.5},
		},
		"a slice without a success costs its time": {
			[]slice{sliceOf(2, 2), sliceOf()},
			figures{Calls: 2, P50: 2, P99: 2, Rate: 1},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := summarize(test.slices)
			assert.Equal(t, test.want.Calls, got.Calls)
			assert.InDelta(t, test.want.P50, got.P50, 1e-9)
			assert.InDelta(t, test.want.P99, got.P99, 1e-9)
			assert.InDelta(t, test.want.Rate, got.Rate, 1e-9)
		})
	}
}

func TestRatios(t *testing.T) {
	tests := map[string]struct {
		ours, theirs []slice
		want         ratio
	}{
		"nothing has no ratio": {nil, nil, ratio{}},
		"each round is compared with itself: a slow one changes nothing": {
			[]slice{sliceOf(2), sliceOf(200), sliceOf(2)},
			[]slice{sliceOf(1), sliceOf(100), sliceOf(1)},
			ratio{Median: 2, Lowest: 2, Highest: 2},
		},
		"the median is that of the rounds, with the outliers beside it": {
			[]slice{sliceOf(1), sliceOf(3), sliceOf(50)},
			[]slice{sliceOf(1), sliceOf(1), sliceOf(1)},
			ratio{Median: 3, Lowest: 1, Highest: 50},
		},
		"a round in which a side had no success is left out": {
			[]slice{sliceOf(2), sliceOf(), sliceOf(2)},
			[]slice{sliceOf(1), sliceOf(1), sliceOf()},
			ratio{Median: 2, Lowest: 2, Highest: 2},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, ratios(test.ours, test.theirs, slice.median))
		})
	}
}

func TestGoal(t *testing.T) {
	tests := map[string]struct {
		goal          goal
		latency, rate float64
		words         string
		met           bool
	}{
		"no goal is none to meet":          {goal{}, 1, 1, "", false},
		"a latency at the bound meets it":  {goal{latencyAtMost: 2}, 2, 0, "latency ratio at most 2.00", true},
		"a latency above the bound misses": {goal{latencyAtMost: 2}, 2.01, 9, "latency ratio at most 2.00", false},
		"a rate at the bound meets it":     {goal{rateAtLeast: 0.5}, 9, 0.5, "rate ratio at least 0.50", true},
		"a rate below the bound misses":    {goal{rateAtLeast: 0.5}, 0, 0.49, "rate ratio at least 0.50", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			words, met := test.goal.check(comparison{Latency: ratio{Median: test.latency}, Rate: ratio{Median: test.rate}})
			assert.Equal(t, test.words, words)
			assert.Equal(t, test.met, met)
		})
	}
}
