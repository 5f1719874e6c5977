// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// call does the i-th request of a slice, from 0, and returns an error unless it was answered as it
// should be.
type call func(ctx context.Context, i int) error

// limit ends a slice after a number of calls or some time, whichever comes first. 0 is no bound;
// one has to be set.
type limit struct {
	calls int
	time  time.Duration
}

// reached tells whether the i-th call of a slice, from 0, is one too many.
func (l limit) reached(i int, begin time.Time) bool {
	return l.calls > 0 && i >= l.calls || l.time > 0 && i > 0 && time.Since(begin) >= l.time
}

// slice is a short time in which one side alone is under load.
type slice struct {
	// latencies are those of the calls that went well.
	latencies []time.Duration
	// elapsed is from the first call's begin to the last one's end.
	elapsed time.Duration
	failed  int
	// err is the error of one of the failed calls.
	err error
}

// sorted returns the latencies in milliseconds, ascending.
func (s slice) sorted() []float64 {
	sorted := make([]float64, len(s.latencies))
	for i, latency := range s.latencies {
		sorted[i] = milliseconds(latency)
	}
	slices.Sort(sorted)
	return sorted
}

// median returns that of the latencies, in milliseconds.
func (s slice) median() float64 { return quantile(s.sorted(), 0.5) }

// rate returns how many calls went well per second.
func (s slice) rate() float64 {
	if s.elapsed == 0 {
		return 0
	}
	return float64(len(s.latencies)) / s.elapsed.Seconds()
}

// runSlice has concurrency workers do calls, each the next one when its last is answered, until the
// limit.
func runSlice(ctx context.Context, concurrency int, limit limit, do call) slice {
	var (
		next    atomic.Int64
		running sync.WaitGroup
		workers = make([]slice, concurrency)
		begin   = time.Now()
	)
	for w := range workers {
		running.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if limit.reached(i, begin) {
					return
				}
				measureCall(ctx, &workers[w], i, do)
			}
		})
	}
	running.Wait()
	all := slice{elapsed: time.Since(begin)}
	for _, worker := range workers {
		all.latencies = append(all.latencies, worker.latencies...)
		all.failed += worker.failed
		if worker.err != nil {
			all.err = worker.err
		}
	}
	return all
}

// measureCall does one call and adds it to a slice.
func measureCall(ctx context.Context, to *slice, i int, do call) {
	begin := time.Now()
	err := do(ctx, i)
	latency := time.Since(begin)
	if err != nil {
		to.failed++
		to.err = err
		return
	}
	to.latencies = append(to.latencies, latency)
}

// workload is what one side of a measurement is to do.
type workload struct {
	// warmUp is done first and not measured.
	warmUp call
	// round returns the calls of a round, from 0. What it prepares is not measured.
	round func(round int) call
}

// steady returns the workload that does the same in every round.
func steady(do call) workload {
	return workload{warmUp: do, round: func(int) call { return do }}
}

// The sides of a measurement, in the order of their turns.
const (
	ours = iota
	theirs
)

// turn is the slice of one side in one round.
type turn struct {
	round, side int
}

// turns returns the order of all slices: ours, theirs, ours, theirs, and so on.
func turns(rounds int) []turn {
	all := make([]turn, 0, 2*rounds)
	for round := range rounds {
		all = append(all, turn{round, ours}, turn{round, theirs})
	}
	return all
}

// measurement compares two sides that do the same, in turns.
type measurement struct {
	name        string
	concurrency int
	rounds      int
	// slice bounds each slice, warmUp what comes before the first.
	slice, warmUp limit
	sides         [2]workload
	goal          goal
}

// run returns the comparison of the two sides. Failed calls are counted in it; only a failed
// warm-up and the end of ctx are errors.
func (m measurement) run(ctx context.Context) (comparison, error) {
	for _, side := range m.sides {
		if warm := runSlice(ctx, m.concurrency, m.warmUp, side.warmUp); warm.failed > 0 {
			return comparison{}, fmt.Errorf("warming up %s at concurrency %d: %d calls failed: %w", m.name, m.concurrency, warm.failed, warm.err)
		}
	}
	var done [2][]slice
	for _, turn := range turns(m.rounds) {
		do := m.sides[turn.side].round(turn.round)
		// The garbage of the other side's slice is not to be paid for in this one.
		runtime.GC()
		done[turn.side] = append(done[turn.side], runSlice(ctx, m.concurrency, m.slice, do))
		if err := ctx.Err(); err != nil {
			return comparison{}, fmt.Errorf("%s at concurrency %d: %w", m.name, m.concurrency, context.Cause(ctx))
		}
	}
	return m.compare(done), nil
}

// compare sums the slices up.
func (m measurement) compare(done [2][]slice) comparison {
	c := comparison{
		Name:        m.name,
		Concurrency: m.concurrency,
		Rounds:      m.rounds,
		Ours:        summarize(done[ours]),
		Theirs:      summarize(done[theirs]),
		Latency:     ratios(done[ours], done[theirs], slice.median),
		Rate:        ratios(done[ours], done[theirs], slice.rate),
	}
	for _, s := range slices.Concat(done[ours], done[theirs]) {
		c.Failed += s.failed
		if s.err != nil {
			c.Failure = s.err.Error()
		}
	}
	c.Goal, c.Met = m.goal.check(c)
	return c
}
