// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/fakemember"
)

// tokensEndAfter is how long the ServiceAccount of a grant that had tokens outlives their rights.
const tokensEndAfter = 12 * time.Second

// newMember returns a member that has all that grants name.
func newMember(t *testing.T, clock *testingclock.FakeClock, grants ...*v1alpha1.AuthTokenGrant) *fakemember.Member {
	t.Helper()
	m := fakemember.New(t, clock)
	for _, g := range grants {
		m.Ensure(t, hubID, g)
	}
	return m
}

// deleted returns g as it is once somebody has deleted it.
func deleted(g *v1alpha1.AuthTokenGrant) *v1alpha1.AuthTokenGrant {
	g = g.DeepCopy()
	g.DeletionTimestamp = at(now)
	return g
}

// sync has the informers see the grant as the hub has it.
func (f *fixture) sync(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	f.see(t, f.stored(t, g))
	f.hub.ClearActions()
}

// revoked returns whether the hub would let the grant go.
func (f *fixture) revoked(t *testing.T, g *v1alpha1.AuthTokenGrant) bool {
	t.Helper()
	return !slices.Contains(f.stored(t, g).Finalizers, v1alpha1.GrantFinalizer)
}

func (f *fixture) condition(t *testing.T, g *v1alpha1.AuthTokenGrant) metav1.Condition {
	t.Helper()
	found := meta.FindStatusCondition(f.stored(t, g).Status.Conditions, v1alpha1.GrantRevoked)
	if found == nil {
		return metav1.Condition{}
	}
	return *found
}

// Revoking ends rights, then tokens, then the account.
func TestController_Revoke(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	other := newGrant("other")
	m := newMember(t, clock, other)
	m.Ensure(t, "hub-2", newGrant("theirs"))
	kept := m.Objects(t)
	g := newGrant("work")
	m.Ensure(t, hubID, g)
	g = deleted(g)
	f := newFixture(t, clock, m, m.Profile(), g)

	f.expectRequeue(t, g, tokensEndAfter)
	expectInOrder(t, m.Writes(), "bindings/", "secrets/", "roles/")
	assert.True(t, f.stored(t, g).Status.RightsEndedTime.Equal(at(now)), "the rights have ended")
	assert.Equal(t, metav1.ConditionFalse, f.condition(t, g).Status)
	assert.Equal(t, v1alpha1.GrantReasonTokensEnding, f.condition(t, g).Reason)

	f.sync(t, g)
	m.ClearActions()
	clock.Step(tokensEndAfter - time.Second)
	f.expectRequeue(t, g, time.Second)
	assert.Empty(t, m.Writes(), "a token may be accepted")
	assert.Empty(t, fakemember.Writes(f.hub.Actions()))
	assert.Empty(t, f.told())

	clock.Step(time.Second)
	f.expectRequeue(t, g, 0)
	assert.Equal(t, []string{"delete serviceaccounts default/work"}, m.Writes())
	assert.True(t, f.revoked(t, g))
	assert.Equal(t, kept, m.Objects(t))
	assert.Equal(t, []string{"Normal Revoked All that this grant owned on cluster default/bravelion is gone"}, f.told())
}

// expectInOrder expects deletions alone: first of resources that end as the first of resources
// does, then the next.
func expectInOrder(t *testing.T, writes []string, resources ...string) {
	t.Helper()
	var ranks []int
	for _, write := range writes {
		verb, rest, _ := strings.Cut(write, " ")
		resource, _, _ := strings.Cut(rest, " ")
		rank := slices.IndexFunc(resources, func(r string) bool { return strings.HasSuffix(resource+"/", r) })
		assert.True(t, verb == "delete" && rank >= 0, "unexpected: %s", write)
		ranks = append(ranks, rank)
	}
	assert.IsNonDecreasing(t, ranks, "not in the order of %v: %q", resources, writes)
	assert.Len(t, slices.Compact(ranks), len(resources), "not all of %v: %q", resources, writes)
}

// What has the UID of the grant in its name goes, whoever has changed its labels. An account that
// is not the grant's stays.
func TestController_RevokeForeignObjects(t *testing.T) {
	labels := func(hub, uid string) map[string]string {
		return map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: hub, grant.LabelGrantUID: uid}
	}
	rights := []string{"delete clusterrolebindings /clusterpass:grant-work:view", "delete secrets default/clusterpass-grant-work"}
	for name, test := range map[string]struct {
		labels map[string]string
		want   []string
	}{
		"of this hub by another id": {labels("hub-2", "grant-work"), append(slices.Clone(rights), "delete serviceaccounts default/work")},
		"of another grant":          {labels(hubID, "grant-other"), rights},
		"of nobody":                 {nil, rights},
	} {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			g := deleted(newGrant("work"))
			g.Status.ExpirationCeiling = nil
			of := func(namespace, name string) metav1.ObjectMeta {
				return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: types.UID("of " + name), Labels: test.labels}
			}
			m := fakemember.New(t, clock,
				&corev1.ServiceAccount{ObjectMeta: of("default", "work")}, &corev1.Secret{ObjectMeta: of("default", grant.SecretName(g.UID))},
				&rbacv1.ClusterRoleBinding{ObjectMeta: of("", grant.BindingName(g.UID, "view"))})
			f := newFixture(t, clock, m, m.Profile(), g)
			f.expectRequeue(t, g, 0)
			assert.Equal(t, test.want, m.Writes())
			assert.True(t, f.revoked(t, g))
		})
	}
}

// A grant that is held by somebody else is none of ours.
func TestController_RevokeOtherFinalizer(t *testing.T) {
	g := deleted(newGrant("work"))
	g.Finalizers = []string{"example.com/keep"}
	f := newFixture(t, testingclock.NewFakeClock(now), unreached{t}, g)
	f.expectRequeue(t, g, 0)
	assert.Empty(t, fakemember.Calls(f.hub.Actions()))
}

// An abandoned grant is let go without its member.
func TestController_RevokeAbandoned(t *testing.T) {
	g := deleted(newGrant("work"))
	g.Finalizers = append(g.Finalizers, "example.com/keep")
	g.Annotations = map[string]string{v1alpha1.AnnotationAbandonMember: "true"}
	f := newFixture(t, testingclock.NewFakeClock(now), unreached{t}, g)
	f.expectRequeue(t, g, 0)
	assert.Equal(t, []string{"example.com/keep"}, f.stored(t, g).Finalizers)
	f.expectTold(t, "Warning Abandoned ")
}

// A grant is revoked on the cluster that it was made on.
func TestController_RevokeRememberedAccess(t *testing.T) {
	for name, is := range map[string]func(profile *inventoryv1alpha1.ClusterProfile){
		"its ClusterProfile is gone": nil,
		"another cluster has taken its name": func(profile *inventoryv1alpha1.ClusterProfile) {
			profile.UID, profile.Status.AccessProviders = "profile-2", nil
		},
		"its ClusterProfile gives no access": func(profile *inventoryv1alpha1.ClusterProfile) { profile.Status.AccessProviders = nil },
	} {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			g := newGrant("work")
			m := newMember(t, clock, g)
			g.Status.AccessProvider = m.Provider()
			g.Status.ExpirationCeiling = nil
			f := newFixture(t, clock, m, deleted(g))
			if is != nil {
				profile := m.Profile()
				is(profile)
				f.see(t, profile)
			}
			f.expectRequeue(t, g, 0)
			assert.Equal(t, []string{"clusterroles /view "}, m.Objects(t))
			assert.True(t, f.revoked(t, g))
		})
	}
}

// The grant of a member that refuses stays, and there is one event.
func TestController_RevokeRefused(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	g := newGrant("work")
	m := newMember(t, clock, g)
	long := errors.New(strings.Repeat("no, ", 1000))
	m.PrependReactor("delete", "clusterrolebindings", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(rbacv1.Resource("clusterrolebindings"), a.(clienttesting.DeleteAction).GetName(), long)
	})
	g = deleted(g)
	f := newFixture(t, clock, m, m.Profile(), g)
	f.expectFailure(t, g)
	condition := f.condition(t, g)
	assert.Equal(t, metav1.ConditionFalse, condition.Status)
	assert.Equal(t, v1alpha1.GrantReasonMemberFailed, condition.Reason)
	assert.Contains(t, condition.Message, "default/bravelion")
	assert.LessOrEqual(t, len(f.expectTold(t, "Warning RevocationFailed ")), 1024)
	f.sync(t, g)
	f.expectFailure(t, g)
	assert.Empty(t, fakemember.Calls(f.hub.Actions()), "at the second try")
	assert.Empty(t, f.told(), "at the second try")
	assert.False(t, f.revoked(t, g))
	assert.Contains(t, strings.Join(m.Objects(t), "\n"), "serviceaccounts default/work ", "it goes after the bindings")
}

// A revocation is not done while the hub does not answer.
func TestController_RevokeWithoutHub(t *testing.T) {
	for name, away := range apiIsAway {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			g := newGrant("work")
			m := newMember(t, clock, g)
			g.Status.ExpirationCeiling = nil
			g = deleted(g)
			f := newFixture(t, clock, m, m.Profile(), g)
			f.Client = hubThatAnswers(t, away)
			_, err := f.reconcileGrant(t.Context(), g)
			require.Error(t, err, "its finalizer would stay for ever")
			assert.Empty(t, f.told())
		})
	}
}
