// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/fakemember"
)

// waitFor lets the clock run until done returns true.
func (f *fixture) waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
		f.clock.Step(maxProbe)
		return done(), nil
	})
	require.NoError(t, err, what)
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
		f.expectFailure(t, g)
	}
	return f, m, []*v1alpha1.AuthTokenGrant{one, two}
}

// All grants that wait for a member are looked at when it is back.
func TestRecovery_MemberBack(t *testing.T) {
	f, m, grants := down(t)
	assert.Equal(t, 1, f.awaited(), "waits for one member")
	asked := m.BrokenOff()
	f.waitFor(t, "asking the member whether it is back", func() bool { return m.BrokenOff() >= asked+3 })
	assert.Empty(t, f.queued(), "looked at while the member is down")
	m.SetDown(false)
	f.waitFor(t, "the end of the wait", func() bool { return f.awaited() == 0 })
	f.recovery.probes.Wait()
	assert.Equal(t, sets.New(grants[0].Name, grants[1].Name), f.queued(), "what is to be revoked is looked at")
}

// Nobody waits for a member without grants to revoke.
func TestRecovery_NoGrantsLeft(t *testing.T) {
	f, _, grants := down(t)
	for _, g := range grants {
		require.NoError(t, f.Grants.Informer().GetIndexer().Delete(g))
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
	_, err := f.reconcileGrant(ctx, g)
	require.Error(t, err)
	require.Equal(t, 1, f.awaited())
	cancel()
	f.recovery.probes.Wait()
}
