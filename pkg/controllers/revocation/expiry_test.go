// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/fakemember"
)

// A grant goes a while after the last of its tokens.
func TestController_Expire(t *testing.T) {
	tests := map[string]struct {
		change func(g *v1alpha1.AuthTokenGrant)
		again  time.Duration // zero: it goes now
		says   string
	}{
		"a token may be out": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = at(now.Add(time.Minute)) },
			again:  retention + time.Minute,
		},
		"the last one has just expired": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = at(now) },
			again:  retention,
		},
		"the last one expired long ago": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = at(now.Add(-retention)) },
			says:   "No token of this grant has been valid since 2026-05-03T12:00:00Z",
		},
		"it was made a while ago, and had a token lately": {
			change: func(g *v1alpha1.AuthTokenGrant) {
				g.CreationTimestamp = metav1.NewTime(now.Add(-100 * retention))
				g.Status.ExpirationCeiling = at(now.Add(-time.Hour))
			},
			again: retention - time.Hour,
		},
		"it was made lately, and never had a token": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = nil },
			again:  retention - time.Hour,
		},
		"it was made long ago, and never had a token": {
			change: func(g *v1alpha1.AuthTokenGrant) {
				g.CreationTimestamp = metav1.NewTime(now.Add(-retention))
				g.Status.ExpirationCeiling = nil
			},
			says: "No token of this grant was ever issued",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			g := newGrant("work")
			test.change(g)
			f := newFixture(t, clock, unreached{t}, fakemember.New(t, clock).Profile(), g)
			f.expectRequeue(t, g, test.again)
			told := f.told()
			if test.says == "" {
				assert.Empty(t, fakemember.Calls(f.hub.Actions()))
				assert.Empty(t, told)
				return
			}
			assert.Equal(t, []string{"delete authtokengrants team/" + g.Name}, fakemember.Calls(f.hub.Actions()))
			require.Len(t, told, 1)
			assert.Regexp(t, "^Normal Expired ", told[0])
			assert.Contains(t, told[0], test.says)
		})
	}
}

// An expired grant is deleted only as it was seen.
func TestController_ExpirePreconditions(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	g := newGrant("work")
	g.Status.ExpirationCeiling = at(now.Add(-retention))
	f := newFixture(t, clock, unreached{t}, fakemember.New(t, clock).Profile(), g)
	_, err := f.reconcileGrant(t.Context(), g)
	require.NoError(t, err)
	p := f.hub.Actions()[0].(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
	assert.Equal(t, &metav1.Preconditions{UID: &g.UID, ResourceVersion: ptr.To("1")}, p)
}

// An expired grant stays that is another one by now.
func TestController_ExpireChangedGrant(t *testing.T) {
	tests := map[string]func(g *v1alpha1.AuthTokenGrant){
		"a token was issued after the cache had it": func(g *v1alpha1.AuthTokenGrant) {
			g.ResourceVersion, g.Status.ExpirationCeiling = "2", at(now.Add(time.Hour))
		},
		"it was revoked and made again": func(g *v1alpha1.AuthTokenGrant) { g.UID = "another" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			seen := newGrant("work")
			seen.Status.ExpirationCeiling = at(now.Add(-retention))
			current := seen.DeepCopy()
			change(current)
			f := newFixture(t, clock, unreached{t}, fakemember.New(t, clock).Profile())
			f.see(t, fakemember.New(t, clock).Profile())
			f.see(t, seen)
			f.store(t, current)
			f.expectRequeue(t, seen, 0)
			assert.NotNil(t, f.stored(t, seen), "the grant was deleted")
			assert.Empty(t, f.told())
		})
	}
}

// Nothing else would have it looked at again: the hub's answer brings no event.
func TestController_ExpireWithoutAPI(t *testing.T) {
	for name, away := range apiIsAway {
		t.Run(name, func(t *testing.T) {
			clock := testingclock.NewFakeClock(now)
			g := newGrant("work")
			g.Status.ExpirationCeiling = at(now.Add(-retention))
			f := newFixture(t, clock, unreached{t}, fakemember.New(t, clock).Profile(), g)
			f.Client = hubThatAnswers(t, away)
			_, err := f.reconcileGrant(t.Context(), g)
			require.Error(t, err, "it is tried again")
			assert.Empty(t, f.told())
		})
	}
}
