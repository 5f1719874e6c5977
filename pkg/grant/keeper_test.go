// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/fakemember"
)

func TestKeeper_Confirm(t *testing.T) {
	type stored = v1alpha1.AuthTokenGrant
	tests := map[string]struct {
		// change makes of the grant what is stored; it is nil if there is none.
		change func(g *stored)
		err    error
		// current says that the grant is returned, and left are the kinds that the member has then.
		current bool
		left    []string
	}{
		"a grant that is as it was stays": {change: func(*stored) {}, current: true, left: allKinds},
		"one with another status, too": {change: func(g *stored) { g.Status.ExpirationCeiling = &metav1.Time{} }, current: true,
			left: allKinds},
		"one that is gone is not resurrected": {left: nil},
		"nor one that was made again":         {change: func(g *stored) { g.UID = "another" }, left: nil},
		"of one that is being deleted the ServiceAccount stays": {
			change: func(g *stored) { g.DeletionTimestamp = &metav1.Time{Time: time.Now()} }, left: []string{"ServiceAccount"},
		},
		"of one with fewer roles they stay": {
			change: func(g *stored) { g.Generation++; g.Spec.ClusterRoles = nil }, left: []string{"RoleBinding", "Role", "ServiceAccount"},
		},
		"what is not known changes nothing": {err: errors.New("the hub does not answer"), left: allKinds},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, _, client := ensured(t)
			keeper := &grant.Keeper{HubID: "hub", Grant: g, Client: client, Clock: clock.RealClock{}}
			now, err := keeper.Confirm(t.Context(), func(context.Context, string, string) (*v1alpha1.AuthTokenGrant, error) {
				if test.err != nil {
					return nil, test.err
				}
				if test.change == nil {
					return nil, apierrors.NewNotFound(v1alpha1.Resource("authtokengrants"), g.Name)
				}
				stored := g.DeepCopy()
				test.change(stored)
				return stored, nil
			})
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.current, now != nil)
			assert.Equal(t, test.left, kinds(list(t, client, "hub")))
		})
	}
}

// A grant that is changed gives nothing new until the tokens from before are no longer accepted.
func TestKeeper_EnsureChanged(t *testing.T) {
	const binding, secret = "clusterrolebindings /clusterpass:grant-work:", "secrets default/clusterpass-grant-work"
	for name, test := range map[string]struct {
		change func(spec *v1alpha1.AuthTokenGrantSpec)
		// gone is deleted at once, and after are the writes after the tokens have ended.
		gone  string
		after []string
	}{
		"a role that is new": {
			change: func(spec *v1alpha1.AuthTokenGrantSpec) {
				spec.ClusterRoles = append(spec.ClusterRoles, multiclusterv1alpha1.ClusterRole{Name: "all", Rules: spec.Roles[0].Rules})
			},
			after: []string{"create clusterroles /clusterpass:grant-work:all", "create " + binding + "all"},
		},
		"a Role that is new": {
			change: func(spec *v1alpha1.AuthTokenGrantSpec) {
				spec.Roles = append(spec.Roles, multiclusterv1alpha1.Role{Namespace: "ml", Name: "all", Rules: spec.Roles[0].Rules})
			},
			after: []string{"create roles ml/clusterpass:grant-work:all", "create rolebindings ml/clusterpass:grant-work:all"},
		},
		"a role with other rules": {
			change: func(spec *v1alpha1.AuthTokenGrantSpec) { spec.ClusterRoles[0].Rules[0].Verbs = []string{"*"} },
			after:  []string{"update clusterroles /clusterpass:grant-work:pods"},
		},
		"a role that gets rules, and so another name": {
			change: func(spec *v1alpha1.AuthTokenGrantSpec) { spec.ClusterRoles[1].Rules = spec.ClusterRoles[0].Rules },
			after:  []string{"create clusterroles /clusterpass:grant-work:view", "delete " + binding + "view", "create " + binding + "view"},
		},
		"a role that goes": {
			change: func(spec *v1alpha1.AuthTokenGrantSpec) { spec.ClusterRoles = spec.ClusterRoles[:1] }, gone: "delete " + binding + "view",
		},
	} {
		t.Run(name, func(t *testing.T) {
			g, member, client := ensured(t)
			hub := testingclock.NewFakeClock(time.Now())
			g.Generation, g.Status.MemberObjects = 2, grant.Objects(g)
			g.Status.ExpirationCeiling = &metav1.Time{Time: hub.Now().Add(time.Hour)}
			g.Spec = *g.Spec.DeepCopy()
			test.change(&g.Spec)
			before := []string{"delete " + secret, "create " + secret}
			if test.gone != "" {
				before = append(before, test.gone)
			}
			done := make(chan error, 1)
			go func() {
				_, err := (&grant.Keeper{HubID: "hub", Grant: g, Client: client, Clock: hub}).Ensure(t.Context())
				done <- err
			}()
			if len(test.after) > 0 {
				require.Eventually(t, hub.HasWaiters, time.Minute, time.Millisecond)
				assert.ElementsMatch(t, before, member.Writes())
				hub.Step(grant.TokenCacheTTL)
			}
			require.NoError(t, <-done)
			assert.Equal(t, append(before, test.after...), member.Writes())
		})
	}
}

// Somebody else makes an object between the look for it and its creation.
func TestKeeper_EnsureOvertaken(t *testing.T) {
	for name, test := range map[string]struct {
		resource string
		foreign  bool
		// words of the refusal; none: what is there now is used.
		words string
	}{
		"an account by an equal request": {resource: "serviceaccounts"},
		"an account by somebody else":    {"serviceaccounts", true, "was not made by clusterpass"},
		"the Secret by an equal request": {resource: "secrets"},
		"the Secret by somebody else":    {"secrets", true, "is not this grant's"},
		"a binding by an equal request":  {resource: "clusterrolebindings"},
		"a binding by somebody else":     {"clusterrolebindings", true, "is not this grant's"},
		"a ClusterRole by somebody else": {"clusterroles", true, "is not this grant's"},
		"a Role by an equal request":     {resource: "roles"},
		"a RoleBinding by somebody else": {"rolebindings", true, "is not this grant's"},
	} {
		t.Run(name, func(t *testing.T) {
			g, member := fakemember.NewGrant("work"), fakemember.New(t, clock.RealClock{})
			member.PrependReactor("create", test.resource, func(action clienttesting.Action) (bool, runtime.Object, error) {
				made := action.(clienttesting.CreateAction).GetObject().DeepCopyObject().(metav1.Object)
				if test.foreign {
					made.SetLabels(nil)
				}
				resource := action.GetResource()
				err := member.Tracker().Create(resource, made.(runtime.Object), action.GetNamespace())
				if err == nil {
					err = apierrors.NewAlreadyExists(resource.GroupResource(), made.GetName())
				}
				return true, nil, err
			})
			client, err := member.For(t.Context(), member.Profile())
			require.NoError(t, err)
			ensured, err := (&grant.Keeper{HubID: "hub", Grant: g, Client: client.Kubernetes(), Clock: clock.RealClock{}}).Ensure(t.Context())
			if test.words != "" {
				require.ErrorContains(t, err, test.words)
				assert.True(t, grant.IsRefused(err))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.resource == "serviceaccounts", ensured.AccountFound)
			assert.True(t, ensured.Changed)
			assert.Equal(t, allKinds, kinds(list(t, client.Kubernetes(), "hub")))
		})
	}
}

// Whoever is late does not end the tokens of a later generation, nor take back its rights.
func TestKeeper_EnsureLate(t *testing.T) {
	g, member, client := ensured(t)
	g.Generation = 2
	member.Ensure(t, "hub", g)
	g.Generation = 1
	_, err := (&grant.Keeper{HubID: "hub", Grant: g, Client: client, Clock: clock.RealClock{}}).Ensure(t.Context())
	require.ErrorContains(t, err, "has been changed meanwhile")
	assert.Empty(t, member.Writes())
}
