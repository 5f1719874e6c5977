// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

type storedGrant = clusterpassv1alpha1.AuthTokenGrant

// storedGrants is a store whose cache may be behind.
type storedGrants struct {
	Grants
	cached, live *storedGrant
	count        int64
	// deleted are those of count that the cache still has.
	deleted int64
	updated *storedGrant
	// updateErr is that of updates.
	updateErr error
}

func (s *storedGrants) Cached(_ context.Context, _, name string) (*storedGrant, error) {
	return orNotFound(s.cached, authTokenGrants, name)
}

func (s *storedGrants) Live(_ context.Context, _, name string) (*storedGrant, error) {
	return orNotFound(s.live, authTokenGrants, name)
}

func (s *storedGrants) Count(context.Context, string) (int64, error) { return s.count, nil }

func (s *storedGrants) CountStored(context.Context, string) (int64, error) {
	return s.count - s.deleted, nil
}

func (s *storedGrants) Update(_ context.Context, g *storedGrant) (*storedGrant, error) {
	s.updated = g
	return g, s.updateErr
}

func testTask(store *storedGrants) *task {
	m := &Minter{
		Config: Config{
			Grants: store, MaxGrants: 3, Authorizer: authorizerfactory.NewAlwaysDenyAuthorizer(), RequestTimeout: time.Minute,
			Clock: testingclock.NewFakeClock(time.Now()),
		},
		verified: utilcache.NewLRUExpireCache(10),
	}
	r := requestOf("jane")
	return &task{
		Minter: m, target: &target{profile: profileWith("uid-1"), client: &member.Client{}}, request: r, expiration: time.Hour,
		want: grant.New("default", r.Spec, "uid-1", clusterpassv1alpha1.Requester{Username: "jane"}),
	}
}

// stored is the grant that testTask wants, as it would be stored.
func stored(change func(g *storedGrant)) *storedGrant {
	g := testTask(&storedGrants{}).want.DeepCopy()
	g.UID, g.Generation = "grant-1", 1
	change(g)
	return g
}

func asIs(*storedGrant) {}

func deleting(g *storedGrant) { g.DeletionTimestamp = ptr.To(metav1.Now()) }

// What is stored decides, not the cache.
func TestTask_StoreGrant(t *testing.T) {
	tests := map[string]struct {
		cached, live *storedGrant
		words        string
	}{
		"a grant that is being deleted by now": {stored(asIs), stored(deleting), "being revoked"},
		"one with other roles by now": {stored(asIs), stored(func(g *storedGrant) { g.Spec.ClusterRoles = nil }),
			"clusterRoles: granted [], asked for [cluster-admin]"},
		"one whose name only happens to be the same": {nil, stored(func(g *storedGrant) { g.Spec.ServiceAccount.Name = "other" }),
			"its name belongs to a grant for another"},
		"one for a cluster that has been replaced": {nil, stored(func(g *storedGrant) { g.Spec.ClusterProfile.UID = "old" }),
			"its name belongs to a grant for another"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := testTask(&storedGrants{cached: test.cached, live: test.live}).storeGrant(t.Context())
			assert.True(t, apierrors.IsConflict(err), "%v", err)
			assert.ErrorContains(t, err, test.words)
		})
	}
}

func TestTask_StoreGrantTooMany(t *testing.T) {
	err := testTask(&storedGrants{count: 3}).storeGrant(t.Context())
	assert.True(t, apierrors.IsForbidden(err), "%v", err)
	assert.ErrorContains(t, err, "has 3 grants and may have 3")
}

func TestTask_CheckCount(t *testing.T) {
	require.NoError(t, testTask(&storedGrants{count: 3, deleted: 1}).checkCount(t.Context()), "only two grants are stored")
}

// Only what was verified is known.
func TestTask_Known(t *testing.T) {
	tests := map[string]struct {
		change func(g *storedGrant)
		want   bool
	}{
		"the grant that was verified":      {asIs, true},
		"a later generation of it":         {func(g *storedGrant) { g.Generation = 2 }, false},
		"another grant of the name":        {func(g *storedGrant) { g.UID = "grant-2" }, false},
		"one that is being deleted":        {deleting, false},
		"one with other audiences":         {func(g *storedGrant) { g.Spec.Audiences = []string{"vault"} }, false},
		"one that somebody else asked for": {func(g *storedGrant) { g.Spec.Requester.Username = "joe" }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			work := testTask(&storedGrants{cached: stored(test.change)})
			work.verified.Add(verifiedKey{"grant-1", 1}, grant.Bound{ServiceAccount: "sa", Secret: "secret"}, time.Hour)
			_, known := work.known(t.Context())
			assert.Equal(t, test.want, known)
		})
	}
}

// The ceiling is raised before a token would pass it.
func TestTask_RaiseCeiling(t *testing.T) {
	store := &storedGrants{live: stored(asIs)}
	work := testTask(store)
	work.grant = store.live
	raise := func(expiration time.Duration) {
		work.expiration = expiration
		require.NoError(t, work.amend(t.Context(), work.raiseCeiling))
	}
	raise(time.Hour)
	assert.Equal(t, 3*time.Hour, work.grant.Status.ExpirationCeiling.Sub(work.Clock.Now()), "the token's hour and two more")
	store.live, store.updated = work.grant, nil
	raise(2 * time.Hour)
	assert.Nil(t, store.updated, "a token below the ceiling wrote the grant")
	raise(3 * time.Hour)
	assert.NotNil(t, store.updated, "a token at the ceiling did not raise it")
}

func TestDifference(t *testing.T) {
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}}}
	granted := stored(func(g *storedGrant) {
		g.Spec.Roles = []v1alpha1.Role{{Namespace: "ml", Name: "jobs"}}
		g.Spec.Audiences = []string{"vault"}
	})
	want := stored(func(g *storedGrant) {
		g.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "pods", Rules: rules}}
	})
	const words = "clusterRoles: granted [cluster-admin], asked for [pods (1 rules)]; roles: granted [ml/jobs], asked for []; " +
		"audiences: granted [vault], asked for []"
	assert.Equal(t, words, difference(granted, want))
	assert.Empty(t, difference(granted, granted))
}

func ownedBy(uid types.UID) func(g *storedGrant) {
	return func(g *storedGrant) {
		g.OwnerReferences = []metav1.OwnerReference{{Kind: "ClusterCredentialSet", Name: "fleet", UID: uid, Controller: ptr.To(true)}}
	}
}

// A grant with an owner is for its requests alone.
func TestTask_StoreGrantOwner(t *testing.T) {
	tests := map[string]struct {
		live  func(g *storedGrant)
		owner types.UID
		words string
	}{
		"its own":                     {ownedBy("set-1"), "set-1", ""},
		"another owner's":             {ownedBy("set-2"), "set-1", "belongs to ClusterCredentialSet fleet"},
		"one of users":                {asIs, "set-1", "belongs to requests of users"},
		"an owner's, asked by a user": {ownedBy("set-1"), "", "belongs to ClusterCredentialSet fleet"},
		"a user's, asked by a user":   {asIs, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			work := testTask(&storedGrants{cached: stored(test.live), live: stored(test.live)})
			if test.owner != "" {
				work.request.Owner = &metav1.OwnerReference{UID: test.owner}
				work.noteSet(work.want)
			}
			err := work.storeGrant(t.Context())
			if test.words == "" {
				assert.NoError(t, err)
			} else {
				assert.True(t, apierrors.IsConflict(err), "%v", err)
				assert.ErrorContains(t, err, test.words)
			}
			work.verified.Add(verifiedKey{"grant-1", 1}, grant.Bound{ServiceAccount: "sa", Secret: "secret"}, time.Hour)
			_, known := work.known(t.Context())
			assert.Equal(t, test.words == "", known)
		})
	}
}

func TestTask_RunWarm(t *testing.T) {
	hub := apierrors.NewInternalError(errors.New("etcd is full"))
	tests := map[string]struct {
		updateErr error
		// change makes of the grant that is known what is stored.
		change func(g *storedGrant)
		want   error
	}{
		"a failure of the hub is not the member's":        {updateErr: hub, change: asIs, want: hub},
		"a grant that is being deleted is looked at anew": {change: deleting, want: errRetry},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			work := testTask(&storedGrants{live: stored(test.change), updateErr: test.updateErr})
			work.grant = stored(asIs)
			_, err := work.runWarm(t.Context(), grant.Bound{})
			require.ErrorIs(t, err, test.want)
		})
	}
}
