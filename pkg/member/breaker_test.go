// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

func TestBreaker(t *testing.T) {
	type step struct {
		// advance is how far the clock moves before the step.
		advance time.Duration
		// end is how a call goes that is let through.
		end outcome
		// refused is the Retry-After of a call that is not; zero: it is let through.
		refused time.Duration
	}
	down := func(n int) []step { return slices.Repeat([]step{{end: failed}}, n) }
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"fewer failures than the threshold open nothing", append(down(2), step{end: answered})},
		{"an answer in between starts the count anew", append(append(down(2), step{end: answered}), append(down(2), step{end: answered})...)},
		{"callers that go away are no failures", append(down(2), step{}, step{}, step{}, step{end: answered})},
		{"failures in a row open it for the first delay",
			append(down(3), step{refused: 5 * time.Second}, step{advance: 4 * time.Second, refused: time.Second})},
		{"a probe that is answered closes it",
			append(down(3), step{advance: 5 * time.Second, end: answered}, step{end: failed}, step{end: failed}, step{end: answered})},
		{"probes that fail double the delay up to the longest", append(down(3),
			step{advance: 5 * time.Second, end: failed}, step{refused: 10 * time.Second},
			step{advance: 10 * time.Second, end: failed}, step{refused: 12 * time.Second},
			step{advance: 12 * time.Second, end: failed}, step{refused: 12 * time.Second})},
		{"after a recovery the delay is the first again", append(
			append(down(3), step{advance: 5 * time.Second, end: failed}, step{advance: 10 * time.Second, end: answered}),
			append(down(3), step{refused: 5 * time.Second})...)},
		{"a probe whose caller goes away is followed by the next call", append(down(3), step{advance: 5 * time.Second}, step{end: answered})},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := testclock.NewFakePassiveClock(time.Now())
			b := newBreaker(configv1alpha1.Breaker{Failures: 3, OpenSeconds: 5, MaxOpenSeconds: 12}, clock)
			for i, s := range test.steps {
				clock.SetTime(clock.Now().Add(s.advance))
				pass, err := b.begin(false)
				if s.refused > 0 {
					var refusal *failure
					require.ErrorAs(t, err, &refusal, "step %d", i)
					require.Equal(t, s.refused, refusal.retryAfter, "step %d", i)
					require.Error(t, b.check(), "step %d", i)
					continue
				}
				require.NoError(t, err, "step %d", i)
				b.end(pass, s.end, errors.New("no route"))
			}
		})
	}
}

// One probe is let through, and late calls are ignored.
func TestBreaker_Probe(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Now())
	b := newBreaker(configv1alpha1.Breaker{Failures: 1, OpenSeconds: 5, MaxOpenSeconds: 60}, clock)
	early, err := b.begin(false)
	require.NoError(t, err)
	late, err := b.begin(false)
	require.NoError(t, err)
	assert.True(t, b.end(early, failed, errors.New("no route")))
	assert.False(t, b.end(late, answered, nil), "a call from before says nothing of now")
	require.Error(t, b.check())

	clock.SetTime(clock.Now().Add(5 * time.Second))
	probe, err := b.begin(false)
	require.NoError(t, err)
	_, err = b.begin(false)
	require.ErrorContains(t, err, string(CauseBreakerOpen))
	b.end(probe, answered, nil)
	require.NoError(t, b.check())
}

func smallLimits(maxInFlight, failures int32) *configv1alpha1.AccessConfiguration {
	config := DefaultConfig()
	config.Limits.MaxInFlight, config.Limits.Breaker.Failures = maxInFlight, failures
	return config
}

// A dead member is left alone.
func TestClient_DeadMember(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		ok(w, r)
	})
	clock := testclock.NewFakeClock(time.Now())
	client := clientFor(t, server.URL, server.ca.pem, smallLimits(4, 3), clock)
	for range 3 {
		require.Error(t, list(t.Context(), client))
	}

	status := statusBecause(t, client.Error(list(t.Context(), client), "list"), CauseBreakerOpen)
	assert.EqualValues(t, http.StatusServiceUnavailable, status.Code)
	assert.EqualValues(t, 5, status.Details.RetryAfterSeconds)
	assert.Contains(t, status.Message, "3 calls in a row failed")
	assert.Len(t, server.seen(), 3, "the member is not called")

	down.Store(false)
	require.Eventually(t, func() bool {
		// No time has passed for net/http, so that the first probe may still meet the
		// connection that was closed when the breaker opened.
		clock.Step(time.Minute)
		return list(t.Context(), client) == nil
	}, 10*time.Second, time.Millisecond)
	require.NoError(t, list(t.Context(), client))
}

// Whose deadline it is.
func TestClient_Deadlines(t *testing.T) {
	blackhole := listen(t, func(conn net.Conn) { t.Cleanup(func() { conn.Close() }) })
	short := 20 * time.Millisecond
	for _, test := range []struct {
		name     string
		ctx      func(context.Context) (context.Context, context.CancelFunc)
		wantOpen bool
	}{
		{"a deadline of ours counts", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, short, errors.New("clusterpass's own"))
		}, true},
		{"a requester's deadline does not", func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, short)
		}, false},
		{"a requester that hangs up does not", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(short, cancel)
			return ctx, cancel
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := clientFor(t, blackhole, nil, smallLimits(4, 1), nil)
			ctx, cancel := test.ctx(t.Context())
			defer cancel()
			require.Error(t, list(ctx, client))
			assert.Equal(t, test.wantOpen, client.gate.breaker.check() != nil)
		})
	}
}

// Many call a member that comes and goes.
func TestClient_FlappingMember(t *testing.T) {
	var calls atomic.Int32
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%3 == 0 {
			panic(http.ErrAbortHandler)
		}
		ok(w, r)
	})
	client := clientFor(t, server.URL, server.ca.pem, smallLimits(4, 2), nil)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				err := client.Error(list(t.Context(), client), "list")
				if err == nil {
					continue
				}
				cause := statusErr(t, err).Details.Causes[0].Type
				assert.Contains(t, []metav1.CauseType{CauseUnreachable, CauseBreakerOpen, CauseBusy}, cause)
			}
		})
	}
	wg.Wait()
	assert.Empty(t, client.gate.slots)
	assert.Zero(t, client.gate.calls)
}
