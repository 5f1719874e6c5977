// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/fakemember"
)

// waitFor lets the clock run until done returns true.
func (f *fixture) waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		f.clock.Step(mostProbe)
		return done(), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func (f *fixture) awaited() int {
	f.recovery.mu.Lock()
	defer f.recovery.mu.Unlock()
	return len(f.recovery.waiting)
}

// down returns a member that is down and two grants of it whose revocation has failed for that.
func down(t *testing.T) (*fixture, *fakemember.Member, []*v1alpha1.AuthTokenGrant) {
	t.Helper()
	clock := testingclock.NewFakeClock(now)
	one, two, kept := newGrant("one"), newGrant("two"), newGrant("kept")
	m := newMember(t, clock, one, two, kept)
	one, two = deleted(one), deleted(two)
	f := newFixture(t, clock, m, m.Profile(), one, two, kept)
	t.Cleanup(f.recovery.probes.Wait)
	m.SetDown(true)
	for _, g := range []*v1alpha1.AuthTokenGrant{one, two} {
		if _, err := f.reconcileGrant(t.Context(), g); err == nil {
			t.Fatal("no error from a member that is down")
		}
	}
	return f, m, []*v1alpha1.AuthTokenGrant{one, two}
}

// All grants that wait for a member are looked at when it is back.
func TestRecovery_MemberBack(t *testing.T) {
	f, m, grants := down(t)
	if got := f.awaited(); got != 1 {
		t.Errorf("%d waits for one member", got)
	}
	asked := m.BrokenOff()
	f.waitFor(t, "asking the member whether it is back", func() bool { return m.BrokenOff() >= asked+3 })
	if got := f.queued(); len(got) > 0 {
		t.Errorf("looked at while the member is down: %v", got)
	}
	m.SetDown(false)
	f.waitFor(t, "the end of the wait", func() bool { return f.awaited() == 0 })
	f.recovery.probes.Wait()
	if got := f.queued(); len(got) != 2 || !got[grants[0].Name] || !got[grants[1].Name] {
		t.Errorf("looked at when the member is back: %v, want what is to be revoked", got)
	}
}

// Nobody waits for a member without grants to revoke.
func TestRecovery_NoGrantsLeft(t *testing.T) {
	f, _, grants := down(t)
	for _, g := range grants {
		if err := f.indexer.Delete(g); err != nil {
			t.Fatal(err)
		}
	}
	f.waitFor(t, "the end of the wait", func() bool { return f.awaited() == 0 })
}

// A wait for a member ends with the program.
func TestRecovery_ContextDone(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	g := deleted(newGrant("work"))
	m := newMember(t, clock)
	f := newFixture(t, clock, m, m.Profile(), g)
	m.SetDown(true)
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := f.reconcileGrant(ctx, g); err == nil || f.awaited() != 1 {
		t.Fatalf("%v, and %d waits", err, f.awaited())
	}
	cancel()
	f.recovery.probes.Wait()
}
