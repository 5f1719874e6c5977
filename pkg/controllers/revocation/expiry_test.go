// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/fakemember"
)

// newExpiring returns a fixture with a grant and its ClusterProfile, whose member is not to be
// asked.
func newExpiring(t *testing.T, g *v1alpha1.AuthTokenGrant) *fixture {
	t.Helper()
	clock := testingclock.NewFakeClock(now)
	return newFixture(t, clock, unreached{t}, fakemember.New(t, clock).Profile(), g)
}

// A grant goes a while after the last of its tokens.
func TestController_Expire(t *testing.T) {
	tests := map[string]struct {
		age     time.Duration
		ceiling *metav1.Time
		again   time.Duration // zero: it goes now
		says    string
	}{
		"a token may be out":            {time.Hour, at(now.Add(time.Minute)), retention + time.Minute, ""},
		"the last one has just expired": {time.Hour, at(now), retention, ""},
		"the last one expired long ago": {
			time.Hour, at(now.Add(-retention)), 0, "No token of this grant has been valid since 2026-05-03T12:00:00Z",
		},
		"it was made a while ago, and had a token lately": {100 * retention, at(now.Add(-time.Hour)), retention - time.Hour, ""},
		"it was made lately, and never had a token":       {time.Hour, nil, retention - time.Hour, ""},
		"it was made long ago, and never had a token":     {retention, nil, 0, "No token of this grant was ever issued"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGrant("work")
			g.CreationTimestamp, g.Status.ExpirationCeiling = *at(now.Add(-test.age)), test.ceiling
			f := newExpiring(t, g)
			f.expectRequeue(t, g, test.again)
			if test.says == "" {
				assert.Empty(t, fakemember.Calls(f.hub.Actions()))
				assert.Empty(t, f.told())
				return
			}
			assert.Equal(t, []string{"delete authtokengrants team/" + g.Name}, fakemember.Calls(f.hub.Actions()))
			assert.Contains(t, f.expectTold(t, "Normal Expired "), test.says)
		})
	}
}

// An expired grant is deleted only as it was seen.
func TestController_ExpirePreconditions(t *testing.T) {
	g := newGrant("work")
	g.Status.ExpirationCeiling = at(now.Add(-retention))
	f := newExpiring(t, g)
	f.expectRequeue(t, g, 0)
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
			g := newGrant("work")
			g.Status.ExpirationCeiling = at(now.Add(-retention))
			f := newExpiring(t, g)
			f.Client = hubThatAnswers(t, away)
			f.expectFailure(t, g)
			assert.Empty(t, f.told())
		})
	}
}
