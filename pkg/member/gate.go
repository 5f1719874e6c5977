// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// queueTimeout is how long a call waits for others to the same member to end. A
// member that answers works off thousands of calls in that time; one that does not
// must not hold the server's seats.
const queueTimeout = time.Second

// gate is what all calls to one member go through: it bounds how many are under
// way, and keeps them from a member that does not answer.
type gate struct {
	clock       clock.WithTicker
	slots       chan struct{}
	breaker     *breaker
	connections connections

	mu     sync.Mutex
	calls  int
	closed bool
}

// connections are those to one member.
type connections interface {
	// closeIdle closes those that no call is under way on. A call that begins
	// meanwhile gets another one.
	closeIdle()
	// closeAll closes all, and calls that are under way, or just begin, fail.
	closeAll()
}

func newGate(limits configv1alpha1.Limits, clock clock.WithTicker, connections connections) *gate {
	return &gate{
		clock:       clock,
		slots:       make(chan struct{}, limits.MaxInFlight),
		breaker:     newBreaker(limits.Breaker, clock),
		connections: connections,
	}
}

// call is one call that the gate has let through.
type call struct {
	gate *gate
	pass pass
	once sync.Once
}

// enter lets a call through, or returns a *failure that says why not.
func (g *gate) enter(ctx context.Context) (*call, error) {
	insisting := insists(ctx)
	if err := g.breaker.check(); err != nil && !insisting {
		return nil, err
	}
	if err := g.takeSlot(ctx); err != nil {
		return nil, err
	}
	pass, err := g.breaker.begin(insisting)
	if err != nil {
		<-g.slots
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls++
	return &call{gate: g, pass: pass}, nil
}

func (g *gate) takeSlot(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	timer := g.clock.NewTimer(queueTimeout)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		ended := endOfContext(ctx)
		ended.blame = inconclusive
		return ended
	case <-timer.C():
		return &failure{
			cause:      CauseBusy,
			err:        fmt.Errorf("%d calls to it are under way and none has ended within %s", cap(g.slots), queueTimeout),
			retryAfter: time.Second,
			blame:      inconclusive,
		}
	}
}

// end reports how the call went; err is why it failed. Only the first report counts.
func (c *call) end(how outcome, err error) {
	c.once.Do(func() {
		if c.gate.breaker.end(c.pass, how, err) {
			// Where calls in a row went unanswered, the connection may be what is
			// dead, and with HTTP/2 they all share one.
			c.gate.connections.closeAll()
		}
		c.gate.leave()
		<-c.gate.slots
	})
}

// leave counts a call as ended; the last one of a gate that is closed leaves no connection idle.
func (g *gate) leave() {
	g.mu.Lock()
	g.calls--
	last := g.closed && g.calls == 0
	g.mu.Unlock()
	if last {
		g.connections.closeIdle()
	}
}

// close keeps no connection for further calls. Whoever still holds the client may go
// on using it.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.connections.closeIdle()
}

// inFlight returns how many calls are under way.
func (g *gate) inFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// disconnect closes what connections are left, if no call is under way, and says whether it did.
func (g *gate) disconnect() bool {
	idle := g.inFlight() == 0
	if idle {
		g.connections.closeAll()
	}
	return idle
}
