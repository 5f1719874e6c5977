// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTurns(t *testing.T) {
	assert.Equal(t, []turn{{0, ours}, {0, theirs}, {1, ours}, {1, theirs}}, turns(2))
	assert.Empty(t, turns(0))
}

func TestLimit(t *testing.T) {
	past := time.Now().Add(-time.Hour)
	tests := map[string]struct {
		limit limit
		i     int
		want  bool
	}{
		"the last call of a number is done":             {limit{calls: 3}, 2, false},
		"the one after it is not":                       {limit{calls: 3}, 3, true},
		"a call within the time is done":                {limit{time: 24 * time.Hour}, 9, false},
		"one after the time is not":                     {limit{time: time.Minute}, 9, true},
		"the first is done however short the time is":   {limit{time: time.Minute}, 0, false},
		"of a number and a time the earlier one counts": {limit{calls: 10, time: time.Minute}, 9, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, test.limit.reached(test.i, past))
		})
	}
}

func TestRunSlice(t *testing.T) {
	t.Run("each index is done once, by at most as many workers as asked for", func(t *testing.T) {
		const concurrency, calls = 4, 100
		var (
			mu              sync.Mutex
			seen            = map[int]int{}
			active, highest int
		)
		s := runSlice(t.Context(), concurrency, limit{calls: calls}, func(_ context.Context, i int) error {
			mu.Lock()
			seen[i]++
			active++
			highest = max(highest, active)
			mu.Unlock()
			defer func() {
				mu.Lock()
				active--
				mu.Unlock()
			}()
			return nil
		})
		assert.Len(t, s.latencies, calls)
		assert.Len(t, seen, calls)
		for i, times := range seen {
			assert.Equal(t, 1, times, "call %d", i)
		}
		assert.LessOrEqual(t, highest, concurrency)
		assert.Positive(t, s.elapsed)
		assert.NoError(t, s.err)
	})
	t.Run("failed calls are counted and have no latency", func(t *testing.T) {
		broken := errors.New("broken")
		s := runSlice(t.Context(), 2, limit{calls: 10}, func(_ context.Context, i int) error {
			if i%2 == 0 {
				return broken
			}
			return nil
		})
		assert.Len(t, s.latencies, 5)
		assert.Equal(t, 5, s.failed)
		assert.ErrorIs(t, s.err, broken)
	})
}

// recorded returns a workload that writes down what is called.
func recorded(log *[]string, side string) workload {
	do := func(what string) call {
		return func(_ context.Context, i int) error {
			*log = append(*log, fmt.Sprintf("%s %s %d", side, what, i))
			return nil
		}
	}
	return workload{warmUp: do("warm-up"), round: func(round int) call { return do(fmt.Sprintf("round %d", round)) }}
}

// The sides are interleaved.
func TestMeasurement_Sides(t *testing.T) {
	var log []string
	m := measurement{
		name: "test", concurrency: 1, rounds: 2, slice: limit{calls: 2}, warmUp: limit{calls: 1},
		sides: [2]workload{recorded(&log, "ours"), recorded(&log, "theirs")},
	}
	c, err := m.run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{
		"ours warm-up 0", "theirs warm-up 0",
		"ours round 0 0", "ours round 0 1", "theirs round 0 0", "theirs round 0 1",
		"ours round 1 0", "ours round 1 1", "theirs round 1 0", "theirs round 1 1",
	}, log)
	assert.Equal(t, 4, c.Ours.Calls)
	assert.Equal(t, 4, c.Theirs.Calls)
	assert.Zero(t, c.Failed)
}

func TestMeasurement_Failures(t *testing.T) {
	well := func(context.Context, int) error { return nil }
	ill := func(context.Context, int) error { return errors.New("broken") }
	m := measurement{name: "test", concurrency: 1, rounds: 1, slice: limit{calls: 3}, warmUp: limit{calls: 1}}

	t.Run("measured ones are counted", func(t *testing.T) {
		m.sides = [2]workload{steady(well), {warmUp: well, round: func(int) call { return ill }}}
		c, err := m.run(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 3, c.Failed)
		assert.Equal(t, "broken", c.Failure)
		assert.Equal(t, 3, report{Runs: []run{{Tokens: []comparison{c}}}}.failed())
	})
	t.Run("one in the warm-up ends it", func(t *testing.T) {
		m.sides = [2]workload{steady(ill), steady(well)}
		_, err := m.run(t.Context())
		require.ErrorContains(t, err, "broken")
	})
}
