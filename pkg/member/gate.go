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

// queueTimeout is how long a call waits for other calls to the same member to end. A member that
// answers handles thousands of calls in that time. One that does not answer must not hold up the
// server's own seats.
const queueTimeout = time.Second

// gate limits how many calls to one member are in flight, and stops calls to a member that does not
// answer. All calls to a member pass it.
type gate struct {
	clock       clock.WithTicker
	slots       chan struct{}
	breaker     *breaker
	connections connections

	mu     sync.Mutex
	calls  int
	closed bool
}

// connections are the connections to one member.
type connections interface {
	// closeIdle closes the connections without a call in flight. A call that begins at the same
	// time gets another connection.
	closeIdle()
	// closeAll closes all connections. Calls that are in flight, or just begin, fail.
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

// enter lets a call through, or returns a *failure that says why it does not.
func (g *gate) enter(ctx context.Context) (*call, error) {
	insisting, _ := ctx.Value(insistKey{}).(bool)
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
		return heldUp(ctx, ctx.Err())
	case <-timer.C():
		return heldUp(ctx, fmt.Errorf("%d calls to it are under way and none has ended within %s", cap(g.slots), queueTimeout))
	}
}

// end reports the outcome of the call; err says why it failed. Only the first report counts.
func (c *call) end(how outcome, err error) {
	c.once.Do(func() {
		if c.gate.breaker.end(c.pass, how, err) {
			// Calls in a row went unanswered, maybe because of a dead connection: with HTTP/2, all
			// calls share one.
			c.gate.connections.closeAll()
		}
		c.gate.done()
		<-c.gate.slots
	})
}

// done counts a call as ended. The last call of a closed gate closes its idle connections.
func (g *gate) done() {
	g.mu.Lock()
	g.calls--
	last := g.closed && g.calls == 0
	g.mu.Unlock()
	if last {
		g.connections.closeIdle()
	}
}

// close closes idle connections and keeps none for further calls. Holders of the client may still
// use it.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.connections.closeIdle()
}

// inFlight returns how many calls are in flight.
func (g *gate) inFlight() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// disconnect closes all connections if no call is in flight. It returns whether it did.
func (g *gate) disconnect() bool {
	idle := g.inFlight() == 0
	if idle {
		g.connections.closeAll()
	}
	return idle
}
