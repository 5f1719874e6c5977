// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	testclock "k8s.io/utils/clock/testing"
)

// Calls in flight are bounded.
func TestClient_MaxInFlight(t *testing.T) {
	const bound = 4
	var (
		now  atomic.Int32
		mu   sync.Mutex
		most int32
	)
	release := make(chan struct{})
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		count := now.Add(1)
		defer now.Add(-1)
		mu.Lock()
		most = max(most, count)
		mu.Unlock()
		<-release
		ok(w, r)
	})
	clock := testclock.NewFakeClock(time.Now())
	client := clientFor(t, server.URL, server.ca.pem, smallLimits(bound, 5), clock)

	var wg sync.WaitGroup
	errs := make(chan error, 3*bound)
	for range 3 * bound {
		wg.Go(func() { errs <- list(t.Context(), client) })
	}
	require.Eventually(t, func() bool { return now.Load() == bound && clock.Waiters() == 2*bound }, 10*time.Second, time.Millisecond)

	t.Run("who waits may go away", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		require.ErrorIs(t, list(ctx, client), context.Canceled)
	})
	clock.Step(queueTimeout)
	for range 2 * bound {
		status := statusBecause(t, client.Error(<-errs, "list"), CauseBusy)
		assert.EqualValues(t, http.StatusTooManyRequests, status.Code)
		assert.EqualValues(t, 1, status.Details.RetryAfterSeconds)
	}
	close(release)
	wg.Wait()
	for range bound {
		require.NoError(t, <-errs)
	}
	assert.EqualValues(t, bound, most)
	assert.Empty(t, client.gate.slots)
	require.NoError(t, client.gate.breaker.check(), "a full house says nothing about the member")
}

// countedConnections counts what is asked of it.
type countedConnections struct{ idle, all int }

func (c *countedConnections) closeIdle() { c.idle++ }
func (c *countedConnections) closeAll()  { c.all++ }

// A closed gate keeps no connections.
func TestGate_Close(t *testing.T) {
	connections := &countedConnections{}
	g := newGate(DefaultConfig().Limits, testclock.NewFakeClock(time.Now()), connections)
	first, err := g.enter(t.Context())
	require.NoError(t, err)
	g.close()
	assert.Equal(t, 1, connections.idle)
	assert.False(t, g.disconnect(), "a call is under way")
	first.end(answered, nil)
	first.end(failed, errors.New("again"))
	assert.Equal(t, 2, connections.idle)

	second, err := g.enter(t.Context())
	require.NoError(t, err, "who still holds the client may use it")
	second.end(answered, nil)
	assert.Equal(t, 3, connections.idle)
	assert.Zero(t, connections.all)
	assert.True(t, g.disconnect())
	assert.Equal(t, 1, connections.all)
}
