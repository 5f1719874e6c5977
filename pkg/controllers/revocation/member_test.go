// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

// fleet are members by their servers: whoever edits the status of a ClusterProfile chooses one.
type fleet map[string]*fakemember.Member

func (f fleet) For(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	for server, m := range f {
		if len(profile.Status.AccessProviders) == 0 || profile.Status.AccessProviders[0].Cluster.Server == server {
			return m.For(ctx, profile)
		}
	}
	panic("nobody has such a server")
}

func (fleet) Forget(types.UID) {}

// newFleet returns two members, which say that they are a and b; with a UID that is empty, one does
// not say.
func newFleet(t *testing.T, clock *testingclock.FakeClock, uidA, uidB types.UID) (f fleet, a, b *fakemember.Member) {
	t.Helper()
	say := func(uid types.UID) *fakemember.Member {
		if uid == "" {
			return fakemember.New(t, clock)
		}
		return fakemember.New(t, clock, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: uid}})
	}
	a, b = say(uidA), say(uidB)
	return fleet{a.Provider().Cluster.Server: a, b.Provider().Cluster.Server: b}, a, b
}

// The ClusterProfile leads to another cluster than that of the grant.
func TestController_RevokeProfileElsewhere(t *testing.T) {
	for name, test := range map[string]struct {
		// says is what the grant says of its cluster, and uidA and uidB what the members say of
		// themselves.
		says, uidA, uidB types.UID
		// noted is the access that the grant has noted: that to a, to b, or none.
		noted string
		// down says that b, where the profile leads, does not answer.
		down bool
		// reason of the condition; empty: the grant is revoked, on a or on b.
		reason string
		on     string
	}{
		"the access that is noted leads to the grant's cluster":               {says: "a", uidA: "a", uidB: "b", noted: "a", on: "a"},
		"the access that is noted leads there, and the other cluster is dead": {says: "a", uidA: "a", uidB: "b", noted: "a", down: true, on: "a"},
		"no access is noted": {says: "a", uidA: "a", uidB: "b", reason: v1alpha1.GrantReasonOtherMember},
		"the access that is noted leads elsewhere, too": {says: "a", uidA: "a", uidB: "b", noted: "b",
			reason: v1alpha1.GrantReasonOtherMember},
		"the access that is noted is the profile's, and the cluster does not say": {says: "a", uidA: "a", noted: "b", on: "b"},
		"the grant does not say":                   {uidA: "a", uidB: "b", noted: "a", on: "b"},
		"the profile leads to the grant's cluster": {says: "b", uidA: "a", uidB: "b", noted: "a", on: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			members, a, b := newFleet(t, clock, test.uidA, test.uidB)
			g := newGrant("work")
			a.Ensure(t, hubID, g)
			b.Ensure(t, hubID, g)
			named := map[string]*fakemember.Member{"a": a, "b": b}
			g.Status.MemberUID, g.Status.ExpirationCeiling = test.says, nil
			if noted := named[test.noted]; noted != nil {
				g.Status.AccessProvider = noted.Provider()
			}
			g = deleted(g)
			onA, onB := a.Objects(t), b.Objects(t)
			f := newFixture(t, clock, members, b.Profile(), g)
			b.SetDown(test.down)

			_, err := f.reconcileGrant(t.Context(), g)
			if test.on != "a" {
				assert.Equal(t, onA, a.Objects(t))
			}
			if test.on != "b" {
				assert.Equal(t, onB, b.Objects(t))
			}
			if test.reason == "" {
				require.NoError(t, err)
				assert.True(t, f.revoked(t, g))
				assert.Equal(t, []string{"clusterroles /view "}, named[test.on].Objects(t))
				return
			}
			require.Error(t, err, "it is tried again")
			assert.False(t, f.revoked(t, g))
			condition := f.condition(t, g)
			assert.Equal(t, metav1.ConditionFalse, condition.Status)
			assert.Equal(t, test.reason, condition.Reason)
			assert.Contains(t, condition.Message, "the UID of its namespace kube-system is b, and that of the grant's cluster is a. "+
				"Nothing was made or removed there")
			assert.Contains(t, condition.Message, v1alpha1.AnnotationAbandonMember)
			assert.Len(t, f.told(), 1)
			f.sync(t, g)
			f.expectFailure(t, g)
			assert.Empty(t, f.told(), "the event was recorded again")

			// The profile leads to the grant's cluster again.
			f.see(t, a.Profile())
			_, err = f.reconcileGrant(t.Context(), g)
			require.NoError(t, err)
			assert.True(t, f.revoked(t, g))
			assert.Equal(t, []string{"clusterroles /view "}, a.Objects(t))
			assert.Equal(t, onB, b.Objects(t))
		})
	}
}

// The member does not say who it is.
func TestController_RevokeUnidentifiedMember(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	members, a, _ := newFleet(t, clock, "a", "b")
	g := newGrant("work")
	a.Ensure(t, hubID, g)
	g.Status.MemberUID = "a"
	g = deleted(g)
	f := newFixture(t, clock, members, a.Profile(), g)
	t.Cleanup(f.recovery.probes.Wait)
	a.SetDown(true)
	f.expectFailure(t, g)
	assert.Equal(t, v1alpha1.GrantReasonMemberFailed, f.condition(t, g).Reason)
	assert.Contains(t, f.condition(t, g).Message, "could not find out which cluster it is")
	assert.Equal(t, 1, f.awaited(), "its return is waited for")

	a.SetDown(false)
	f.waitFor(t, "the end of the wait", func() bool { return f.awaited() == 0 })
}

func TestController_RevokeAbandonedElsewhere(t *testing.T) {
	g := deleted(newGrant("work"))
	g.Status.MemberUID = "a"
	g.Annotations = map[string]string{v1alpha1.AnnotationAbandonMember: "true"}
	f := newFixture(t, testingclock.NewFakeClock(now), unreached{t}, g)
	f.expectRequeue(t, g, 0)
	assert.True(t, f.revoked(t, g))
}
