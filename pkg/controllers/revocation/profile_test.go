// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

// apiIsAway are the answers of a hub that does not serve a group-version, or not the resource.
var apiIsAway = map[string]http.HandlerFunc{
	"the hub knows no such API": http.NotFound,
	"the API has no such resource": status(
		apierrors.NewGenericServerResponse(http.StatusNotFound, "", schema.GroupResource{}, "", "", 0, false)),
	"the API has no server": status(apierrors.NewServiceUnavailable("no endpoints")),
}

func status(err *apierrors.StatusError) http.HandlerFunc {
	err.ErrStatus.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, int(err.ErrStatus.Code), err.ErrStatus) }
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// serve returns a client config for a hub that answers every request with handler.
func serve(t *testing.T, handler http.HandlerFunc) *rest.Config {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return &rest.Config{Host: server.URL}
}

func hubThatAnswers(t *testing.T, handler http.HandlerFunc) versioned.Interface {
	t.Helper()
	client, err := versioned.NewForConfig(serve(t, handler))
	require.NoError(t, err)
	return client
}

func profileAnswer(profile *inventoryv1alpha1.ClusterProfile) http.HandlerFunc {
	profile.TypeMeta = metav1.TypeMeta{APIVersion: inventoryv1alpha1.GroupVersion.String(), Kind: inventoryv1alpha1.Kind}
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, profile) }
}

// A grant goes with its ClusterProfile.
func TestController_ProfileGone(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	profile := fakemember.New(t, clock).Profile()
	replaced := profile.DeepCopy()
	replaced.UID = "profile-2"
	kept := profile.DeepCopy()
	kept.DeletionTimestamp, kept.Finalizers = &metav1.Time{Time: now}, []string{"example.com/kept"}
	profiles := inventoryv1alpha1.Resource("clusterprofiles")
	type hubAnswer struct {
		hub  http.HandlerFunc
		goes bool
	}
	tests := map[string]hubAnswer{
		"it is gone":                            {status(apierrors.NewNotFound(profiles, fakemember.ProfileName)), true},
		"another has taken its name":            {profileAnswer(replaced), true},
		"a finalizer keeps it":                  {profileAnswer(kept), true},
		"it is there, and not in the cache yet": {profileAnswer(profile), false},
		"something else is gone":                {status(apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "default")), false},
		"we may not see it":                     {status(apierrors.NewForbidden(profiles, fakemember.ProfileName, nil)), false},
	}
	for name, away := range apiIsAway {
		tests[name] = hubAnswer{away, false}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGrant("work")
			f := newFixture(t, clock, unreached{t}, g)
			var err error
			f.Inventory, err = inventory.NewForConfig(serve(t, test.hub))
			require.NoError(t, err)
			_, err = f.reconcileGrant(t.Context(), g)
			if !test.goes {
				require.Error(t, err, "it is looked at again")
				assert.Empty(t, fakemember.Calls(f.hub.Actions()))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, []string{"delete authtokengrants team/" + g.Name}, fakemember.Calls(f.hub.Actions()))
			assert.Equal(t, &metav1.Preconditions{UID: &g.UID}, f.hub.Actions()[0].(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions)
		})
	}
}

// queued returns the names in the queue, and empties it.
func (f *fixture) queued() sets.Set[string] {
	all := sets.New[string]()
	for f.queue.Len() > 0 {
		name, _ := f.queue.Get()
		f.queue.Done(name)
		all.Insert(name.Name)
	}
	return all
}

// The grants of a deleted ClusterProfile are looked at.
func TestController_EnqueueOf(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	profile := fakemember.New(t, clock).Profile()
	one, two, other := newGrant("one"), newGrant("two"), newGrant("other")
	other.Spec.ClusterProfile.UID = "profile-2" // the cluster that had the name before, or will have it
	f := newFixture(t, clock, unreached{t}, one, two, other)
	for name, obj := range map[string]any{
		"the deletion was seen":   profile,
		"the deletion was missed": cache.DeletedFinalStateUnknown{Key: "default/bravelion", Obj: profile},
	} {
		t.Run(name, func(t *testing.T) {
			f.enqueueOf(obj)
			assert.Equal(t, sets.New(one.Name, two.Name), f.queued())
		})
	}
}

// forgotten are Members that note whose client was closed.
type forgotten struct{ uids []types.UID }

func (*forgotten) For(context.Context, *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	return nil, errors.New("no member")
}

func (f *forgotten) Forget(uid types.UID) { f.uids = append(f.uids, uid) }

// The client is closed with the last grant of a deleted ClusterProfile.
func TestController_Forget(t *testing.T) {
	clock := testingclock.NewFakeClock(now)
	profile := fakemember.New(t, clock).Profile()
	replaced := profile.DeepCopy()
	replaced.UID = "profile-2"
	last, other := newGrant("last"), newGrant("other")
	tests := map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		grant   *v1alpha1.AuthTokenGrant
		closed  int
	}{
		"the ClusterProfile is there":   {profile: profile},
		"it has another grant":          {grant: other},
		"that was the last one":         {closed: 1},
		"its name has another's by now": {profile: replaced, closed: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			members := &forgotten{}
			f := newFixture(t, clock, members)
			if test.profile != nil {
				f.see(t, test.profile)
			}
			if test.grant != nil {
				f.see(t, test.grant)
			}
			f.forget(cache.DeletedFinalStateUnknown{Obj: last})
			assert.Len(t, members.uids, test.closed)
		})
	}
}

func TestController_ReconcileGoneGrant(t *testing.T) {
	newFixture(t, testingclock.NewFakeClock(now), unreached{t}).expectRequeue(t, newGrant("gone"), 0)
}
