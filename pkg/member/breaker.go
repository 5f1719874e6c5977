// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// outcome is what the result of a call says about the member.
type outcome int

const (
	// inconclusive: nothing, for example because the caller cancelled the call.
	inconclusive outcome = iota
	// answered: the member sent an answer, of any kind.
	answered
	// failed: the member sent no answer, or not in time, or one that no API server sends.
	failed
)

// breakerState is the state of a breaker. Its numbers are the values of the metric.
type breakerState int

const (
	// breakerClosed: calls go through.
	breakerClosed breakerState = iota
	// breakerHalfOpen: one call may go through, or is in flight.
	breakerHalfOpen
	// breakerOpen: no call goes through.
	breakerOpen
)

// breaker stops calls to a member that failed a number of calls in a row. It is closed at
// first. Once open, it lets nothing through for a delay, and then one call, the probe. If the
// member answers the probe, the breaker closes. If the probe fails, the delay doubles, up to a
// maximum. If its caller cancels the probe, the next call is the probe.
//
// There is no jitter: each member fails for itself, and one probe at a time is no herd. Only a call
// that insists passes an open breaker, even beside a probe.
type breaker struct {
	clock              clock.PassiveClock
	threshold          int32
	minDelay, maxDelay time.Duration

	mu       sync.Mutex
	failures int32
	// delay is zero while the breaker is closed.
	delay   time.Duration
	until   time.Time
	probing bool
	// era counts how often the breaker opened or closed. A call that began in an earlier era says
	// nothing about this one.
	era     int
	lastErr string
}

func newBreaker(config configv1alpha1.Breaker, clock clock.PassiveClock) *breaker {
	return &breaker{
		clock:     clock,
		threshold: config.Failures,
		minDelay:  time.Duration(config.OpenSeconds) * time.Second,
		maxDelay:  time.Duration(config.MaxOpenSeconds) * time.Second,
	}
}

// pass is the permission to make one call: the era in which it was given.
type pass int

// check returns nil, or an error that says why no call may be made now. It changes nothing.
func (b *breaker) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusal()
}

// begin returns the permission to make a call, or an error that says why not. The caller reports
// the result with end. A call that insists always gets it; while the breaker is open, such a call
// is a probe, too.
func (b *breaker) begin(insisting bool) (pass, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refusal(); err != nil && !insisting {
		return 0, err
	}
	b.probing = b.delay > 0
	return pass(b.era), nil
}

func (b *breaker) refusal() error {
	if b.delay == 0 {
		return nil
	}
	wait := b.until.Sub(b.clock.Now())
	if wait <= 0 && !b.probing {
		return nil
	}
	return &failure{
		cause:      CauseBreakerOpen,
		err:        fmt.Errorf("not contacted for now: %d calls in a row failed, the last one with: %s", b.failures, b.lastErr),
		retryAfter: max(wait, time.Second),
		blame:      inconclusive,
	}
}

func (b *breaker) state() breakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.delay == 0:
		return breakerClosed
	case b.clock.Now().Before(b.until):
		return breakerOpen
	}
	return breakerHalfOpen
}

// end reports the outcome of the call that p permitted; err says why it failed. It returns whether
// the breaker opened because of it.
func (b *breaker) end(p pass, how outcome, err error) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if int(p) != b.era {
		return false
	}
	probe := b.probing
	b.probing = false
	switch how {
	case answered:
		if b.delay > 0 {
			b.era++
		}
		b.failures, b.delay, b.lastErr = 0, 0, ""
	case failed:
		b.failures++
		b.lastErr = err.Error()
		if probe || b.failures >= b.threshold {
			b.era++
			b.delay = min(max(2*b.delay, b.minDelay), b.maxDelay)
			b.until = b.clock.Now().Add(b.delay)
			return true
		}
	case inconclusive:
	}
	return false
}
