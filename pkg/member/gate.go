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
// way, keeps them from a member that does not answer, and knows when the last has ended.
type gate struct {
	clock   clock.WithTicker
	slots   chan struct{}
	breaker *breaker
	// disconnect closes all connections to the member.
	disconnect func()

	mu     sync.Mutex
	calls  int
	closed bool
}

func newGate(limits configv1alpha1.Limits, clock clock.WithTicker, disconnect func()) *gate {
	return &gate{
		clock:      clock,
		slots:      make(chan struct{}, limits.MaxInFlight),
		breaker:    newBreaker(limits.Breaker, clock),
		disconnect: disconnect,
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
	if err := g.breaker.check(); err != nil {
		return nil, err
	}
	if err := g.takeSlot(ctx); err != nil {
		return nil, err
	}
	pass, err := g.breaker.begin()
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
		opened := c.gate.breaker.end(c.pass, how, err)
		last := c.gate.leave()
		// Where calls in a row went unanswered, the connection may be what is dead,
		// and with HTTP/2 they all share one.
		if opened || last {
			c.gate.disconnect()
		}
		<-c.gate.slots
	})
}

// leave says whether this was the last call of a gate that is closed.
func (g *gate) leave() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls--
	return g.closed && g.calls == 0
}

// close closes the connections as soon as no call is under way. Whoever still holds
// the client may go on using it.
func (g *gate) close() {
	g.mu.Lock()
	g.closed = true
	idle := g.calls == 0
	g.mu.Unlock()
	if idle {
		g.disconnect()
	}
}
