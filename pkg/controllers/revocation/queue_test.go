// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
)

// A member gets its share and no more.
func TestLimiter(t *testing.T) {
	l := limiter{most: 2, busy: map[types.UID]int{}}
	for _, step := range []struct {
		profile types.UID
		leaves  bool
		want    bool
	}{
		{profile: "a", want: true},
		{profile: "a", want: true},
		{profile: "a", want: false},
		{profile: "b", want: true},
		{profile: "a", leaves: true},
		{profile: "a", want: true},
		{profile: "a", want: false},
		{profile: "b", want: true},
		{profile: "b", want: false},
	} {
		if step.leaves {
			l.leave(step.profile)
			continue
		}
		require.Equal(t, step.want, l.enter(step.profile), "another grant of %s may be worked on", step.profile)
	}
	for _, profile := range []types.UID{"a", "a", "b", "b"} {
		l.leave(profile)
	}
	assert.Empty(t, l.busy, "members that nothing is done for are remembered")
}

// stuckMembers do not answer for one ClusterProfile, and have none of the others.
type stuckMembers struct {
	stuck types.UID
	ctx   context.Context
	// words are what the error of the call of that number, from 1, says.
	words func(call int) string

	mu    sync.Mutex
	calls map[types.UID]int
}

func (s *stuckMembers) For(_ context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	s.mu.Lock()
	s.calls[profile.UID]++
	call := s.calls[profile.UID]
	s.mu.Unlock()
	if profile.UID == s.stuck {
		<-s.ctx.Done()
	}
	if s.words != nil {
		return nil, errors.New(s.words(call))
	}
	return nil, errors.New("there is no such member")
}

func (*stuckMembers) Forget(types.UID) {}

func (s *stuckMembers) called(profile types.UID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[profile]
}

// add has the hub store grants of a ClusterProfile that are to be revoked.
func (f *fixture) add(t *testing.T, profile types.UID, count int) {
	t.Helper()
	for i := range count {
		g := deleted(newGrant(fmt.Sprintf("%s-%d", profile, i)))
		g.Spec.ClusterProfile.UID = profile
		f.store(t, g)
	}
}

// start runs the controller and its informers, in a bubble of synctest, until stop is called.
func (f *fixture) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { f.Grants.Informer().RunWithContext(ctx) })
	running.Go(func() { f.Profiles.Informer().RunWithContext(ctx) })
	require.True(t, cache.WaitForCacheSync(ctx.Done(), f.synced...), "the caches do not fill")
	running.Go(func() { f.Run(ctx) })
	synctest.Wait()
	return func() {
		cancel()
		running.Wait()
	}
}

// A member that does not answer holds nobody else up.
func TestController_StuckMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		members := &stuckMembers{stuck: "stuck", ctx: ctx, calls: map[types.UID]int{}}
		f := newFixture(t, testingclock.NewFakeClock(now), members)
		f.add(t, "stuck", 3*f.Workers)
		stop := f.start(t)
		f.clock.Step(busyRetry)
		synctest.Wait()
		assert.Equal(t, f.Workers/8, members.called("stuck"), "grants of the member that does not answer are worked on at once")
		f.add(t, "healthy", 5)
		synctest.Wait()
		for range 5 {
			f.clock.Step(busyRetry)
			synctest.Wait()
		}
		assert.Equal(t, 5, members.called("healthy"), "tries for 5 grants of another member")
		cancel()
		stop()
	})
}

// The note of a failure is no reason to try again.
func TestController_FailureNote(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := &stuckMembers{calls: map[types.UID]int{}}
		members.words = func(call int) string { return fmt.Sprintf("request %d was denied", min(call, 10)) }
		f := newFixture(t, testingclock.NewFakeClock(now), members)
		f.add(t, "denying", 1)
		stop := f.start(t)
		for i, wait := range []time.Duration{minBackoff, 2 * minBackoff, 4 * minBackoff} {
			require.Equal(t, i+1, members.called("denying"))
			f.clock.Step(wait)
			synctest.Wait()
		}
		stop()
	})
}

// A grant that fails is tried again less and less often.
func TestController_Backoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		members := &stuckMembers{calls: map[types.UID]int{}}
		g := deleted(newGrant("work"))
		f := newFixture(t, testingclock.NewFakeClock(now), members, g)
		f.enqueue(g)
		for i, wait := range []int{1, 2, 4, 8, 16, 30, 30, 30} {
			loop.Next(t.Context(), f.queue, "grant", f.reconcile)
			expectQueuedAfter(t, f, time.Duration(wait)*time.Second)
			require.Equal(t, i+1, members.called(g.Spec.ClusterProfile.UID))
		}
		// Nothing is left of that once it went well.
		g.Annotations = map[string]string{v1alpha1.AnnotationAbandonMember: "true"}
		loop.Next(t.Context(), f.queue, "grant", f.reconcile)
		assert.Zero(t, f.queue.NumRequeues(cache.MetaObjectToName(g)), "failures are remembered")
		f.queue.ShutDown()
	})
}

// expectQueuedAfter expects that the queue is empty until wait has passed.
func expectQueuedAfter(t *testing.T, f *fixture, wait time.Duration) {
	t.Helper()
	synctest.Wait()
	f.clock.Step(wait - time.Nanosecond)
	synctest.Wait()
	require.Zero(t, f.queue.Len(), "tried again before %s", wait)
	f.clock.Step(time.Nanosecond)
	synctest.Wait()
	require.Equal(t, 1, f.queue.Len(), "not tried again after %s", wait)
}

// A grant of a busy member waits its turn and has not failed.
func TestController_BusyMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := deleted(newGrant("work"))
		f := newFixture(t, testingclock.NewFakeClock(now), unreached{t}, g)
		for range f.Workers / 8 {
			f.members.enter(g.Spec.ClusterProfile.UID)
		}
		f.enqueue(g)
		for range 5 {
			loop.Next(t.Context(), f.queue, "grant", f.reconcile)
			expectQueuedAfter(t, f, busyRetry)
		}
		assert.Zero(t, f.queue.NumRequeues(cache.MetaObjectToName(g)), "failures are counted")
		f.queue.ShutDown()
	})
}

// A grant is looked at again when it is due.
func TestController_Requeue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGrant("work")
		profile := &inventoryv1alpha1.ClusterProfile{}
		profile.Namespace, profile.Name, profile.UID = g.Spec.ClusterProfile.Namespace, g.Spec.ClusterProfile.Name, g.Spec.ClusterProfile.UID
		f := newFixture(t, testingclock.NewFakeClock(now), unreached{t}, profile, g)
		f.enqueue(g)
		loop.Next(t.Context(), f.queue, "grant", f.reconcile)
		expectQueuedAfter(t, f, time.Hour+retention)
		f.queue.ShutDown()
	})
}

// Which changes have a grant looked at.
func TestIsOnlyNoted(t *testing.T) {
	tests := map[string]struct {
		change func(g *v1alpha1.AuthTokenGrant)
		looked bool
	}{
		"it is noted how far the revocation is": {func(g *v1alpha1.AuthTokenGrant) {
			setRevoked(&g.Status, v1alpha1.GrantReasonMemberFailed, "no answer")
		}, false},
		"it is noted when the rights ended": {func(g *v1alpha1.AuthTokenGrant) { g.Status.RightsEndedTime = at(now) }, false},
		"it is deleted":                     {func(g *v1alpha1.AuthTokenGrant) { g.DeletionTimestamp = at(now) }, true},
		"it is abandoned": {func(g *v1alpha1.AuthTokenGrant) {
			g.Annotations = map[string]string{v1alpha1.AnnotationAbandonMember: "true"}
		}, true},
		"a token is issued": {func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = at(now.Add(retention)) }, true},
		"it is made to own more": {func(g *v1alpha1.AuthTokenGrant) { g.Status.MemberObjects = []v1alpha1.MemberObject{{Kind: "Role"}} },
			true},
		"it has taken another one's name": {func(g *v1alpha1.AuthTokenGrant) { g.UID = "another" }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := newGrant("work")
			after := before.DeepCopy()
			after.ResourceVersion = "2"
			test.change(after)
			assert.Equal(t, !test.looked, isOnlyNoted(before, after))
		})
	}
}
