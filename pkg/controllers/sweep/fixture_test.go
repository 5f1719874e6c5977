// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/generated/informers/externalversions"
	"clusterpass.dev/test/fakemember"
)

const (
	hubID  = "hub-1"
	period = 10 * time.Minute
)

var (
	now       = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	grantsGVR = v1alpha1.SchemeGroupVersion.WithResource("authtokengrants")
)

// fixture is a Controller whose informers do not run: the test says what they have seen.
type fixture struct {
	*Controller
	member  *fakemember.Member
	hub     *fake.Clientset
	clock   *testingclock.FakeClock
	events  *events.FakeRecorder
	profile *inventoryv1alpha1.ClusterProfile
}

// newFixture returns a Controller for one profile, whose member has all that grants name. The hub
// has the grants, and the informers have seen them.
func newFixture(t *testing.T, grants ...*v1alpha1.AuthTokenGrant) *fixture {
	t.Helper()
	f := &fixture{hub: fake.NewClientset(), clock: testingclock.NewFakeClock(now), events: events.NewFakeRecorder(100)}
	f.member = fakemember.New(t, f.clock)
	f.profile = f.member.Profile()
	var err error
	f.Controller, err = New(Options{
		HubID: hubID, Client: f.hub,
		Grants:   externalversions.NewSharedInformerFactory(f.hub, 0).Clusterpass().V1alpha1().AuthTokenGrants(),
		Profiles: inventoryinformers.NewSharedInformerFactory(inventory.NewSimpleClientset(), 0).Apis().V1alpha1().ClusterProfiles(),
		Members:  f.member, Recorder: f.events, Period: period, Workers: 1, MaxRemovals: 100, Clock: f.clock,
	})
	require.NoError(t, err)
	t.Cleanup(f.queue.ShutDown)
	require.NoError(t, f.Profiles.Informer().GetIndexer().Add(f.profile))
	for _, g := range grants {
		f.member.Ensure(t, hubID, g)
		f.update(t, g)
	}
	return f
}

// store has the hub store a grant, or what it has become.
func (f *fixture) store(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	tracker := f.hub.Tracker()
	if _, err := tracker.Get(grantsGVR, g.Namespace, g.Name); err == nil {
		require.NoError(t, tracker.Update(grantsGVR, g.DeepCopy(), g.Namespace))
		return
	}
	require.NoError(t, tracker.Add(g.DeepCopy()))
}

// see has the informers see a grant.
func (f *fixture) see(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	require.NoError(t, f.Grants.Informer().GetIndexer().Add(g))
}

// update has the hub store a grant, or what it has become, and the informers see that.
func (f *fixture) update(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	f.store(t, g)
	f.see(t, g)
}

// forget has the hub lose a grant, and the informers see that.
func (f *fixture) forget(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	require.NoError(t, f.hub.Tracker().Delete(grantsGVR, g.Namespace, g.Name))
	require.NoError(t, f.Grants.Informer().GetIndexer().Delete(g))
}

// stored returns the grant as the hub has it.
func (f *fixture) stored(t *testing.T, g *v1alpha1.AuthTokenGrant) *v1alpha1.AuthTokenGrant {
	t.Helper()
	found, err := f.hub.Tracker().Get(grantsGVR, g.Namespace, g.Name)
	require.NoError(t, err)
	return found.(*v1alpha1.AuthTokenGrant)
}

// sweepOnce sweeps the member once, and returns the writes that the member has seen.
func (f *fixture) sweepOnce(t *testing.T) ([]string, error) {
	t.Helper()
	f.member.ClearActions()
	client, err := f.Members.Cached(t.Context(), f.profile)
	require.NoError(t, err)
	err = f.sweep(t.Context(), f.profile, client)
	return f.member.Writes(), err
}

// told returns the events since it was last called.
func (f *fixture) told() []string { return fakemember.Events(f.events) }

// requeues returns how often in a row the profile has failed.
func (f *fixture) requeues() int { return f.queue.NumRequeues(cache.MetaObjectToName(f.profile)) }

// lose has the member lose an object of a grant, which is the first of its kind.
func (f *fixture) lose(t *testing.T, g *v1alpha1.AuthTokenGrant, kind string) {
	t.Helper()
	gvr, object := f.first(t, g, kind)
	require.NoError(t, f.member.Tracker().Delete(gvr, object.Namespace, object.Name))
}

// losing returns lose for that kind.
func losing(kind string) func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant) {
	return func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant) {
		t.Helper()
		f.lose(t, g, kind)
	}
}

// changing returns a function that has somebody change an object of a grant on the member, which is
// the first of its kind.
func changing[T runtime.Object](kind string, change func(T)) func(*testing.T, *fixture, *v1alpha1.AuthTokenGrant) {
	return func(t *testing.T, f *fixture, g *v1alpha1.AuthTokenGrant) {
		t.Helper()
		gvr, object := f.first(t, g, kind)
		found, err := f.member.Tracker().Get(gvr, object.Namespace, object.Name)
		require.NoError(t, err)
		changed := found.DeepCopyObject().(T)
		change(changed)
		require.NoError(t, f.member.Tracker().Update(gvr, changed, object.Namespace))
	}
}

func (f *fixture) first(t *testing.T, g *v1alpha1.AuthTokenGrant, kind string) (schema.GroupVersionResource, v1alpha1.MemberObject) {
	t.Helper()
	for _, object := range objectsOf(g) {
		if object.Kind == kind {
			gvr := schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: strings.ToLower(kind) + "s"}
			if kind == "ServiceAccount" {
				gvr.Group = ""
			}
			return gvr, object
		}
	}
	require.Fail(t, "the grant has no "+kind)
	return schema.GroupVersionResource{}, v1alpha1.MemberObject{}
}
