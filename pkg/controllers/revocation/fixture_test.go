// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/generated/informers/externalversions"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

const (
	hubID     = "hub-1"
	retention = 24 * time.Hour
)

var (
	now      = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	resource = v1alpha1.SchemeGroupVersion.WithResource("authtokengrants")
)

// fixture is a Controller whose informers do not run: the test says what they have seen.
type fixture struct {
	*Controller
	clock     *testingclock.FakeClock
	hub       *fake.Clientset
	inventory *inventory.Clientset
	events    *events.FakeRecorder
}

// newFixture returns a Controller whose hub and whose caches have objects.
func newFixture(t *testing.T, clock *testingclock.FakeClock, members Members, objects ...runtime.Object) *fixture {
	t.Helper()
	f := &fixture{clock: clock, hub: fake.NewClientset(), inventory: inventory.NewSimpleClientset(), events: events.NewFakeRecorder(100)}
	f.hub.PrependReactor("delete", "authtokengrants", func(a clienttesting.Action) (bool, runtime.Object, error) {
		d := a.(clienttesting.DeleteActionImpl)
		err := fakemember.CheckPreconditions(f.hub.Tracker(), resource, d.Namespace, d.Name, d.DeleteOptions.Preconditions)
		return err != nil, nil, err
	})
	var err error
	f.Controller, err = New(Options{
		HubID: hubID, Client: f.hub,
		Grants: externalversions.NewSharedInformerFactory(f.hub, 0).Clusterpass().V1alpha1().AuthTokenGrants(), Inventory: f.inventory,
		Profiles: inventoryinformers.NewSharedInformerFactory(f.inventory, 0).Apis().V1alpha1().ClusterProfiles(), Members: members,
		Recorder: f.events, Retention: retention, Workers: 16, Clock: clock,
	})
	require.NoError(t, err)
	t.Cleanup(f.queue.ShutDown)
	for _, o := range objects {
		f.store(t, o)
		f.see(t, o)
	}
	return f
}

// store has the hub store an object.
func (f *fixture) store(t *testing.T, o runtime.Object) {
	t.Helper()
	tracker := f.hub.Tracker()
	if _, ok := o.(*inventoryv1alpha1.ClusterProfile); ok {
		tracker = f.inventory.Tracker()
	}
	require.NoError(t, tracker.Add(o.DeepCopyObject()))
}

// see has the informers see an object.
func (f *fixture) see(t *testing.T, o runtime.Object) {
	t.Helper()
	indexer := f.Grants.Informer().GetIndexer()
	if _, ok := o.(*inventoryv1alpha1.ClusterProfile); ok {
		indexer = f.Profiles.Informer().GetIndexer()
	}
	require.NoError(t, indexer.Add(o))
}

// stored returns the grant as the hub has it, or nil.
func (f *fixture) stored(t *testing.T, g *v1alpha1.AuthTokenGrant) *v1alpha1.AuthTokenGrant {
	t.Helper()
	found, err := f.hub.Tracker().Get(resource, g.Namespace, g.Name)
	if err != nil {
		return nil
	}
	return found.(*v1alpha1.AuthTokenGrant)
}

// reconcileGrant looks at a grant once.
func (f *fixture) reconcileGrant(ctx context.Context, g *v1alpha1.AuthTokenGrant) (time.Duration, error) {
	return f.reconcile(ctx, cache.MetaObjectToName(g))
}

// expectRequeue reconciles a grant once, and expects that it is requeued after that long, or not at
// all where that is 0.
func (f *fixture) expectRequeue(t *testing.T, g *v1alpha1.AuthTokenGrant, after time.Duration) {
	t.Helper()
	again, err := f.reconcileGrant(t.Context(), g)
	require.NoError(t, err)
	assert.Equal(t, after, again)
}

// expectFailure reconciles a grant once, and expects that it is tried again.
func (f *fixture) expectFailure(t *testing.T, g *v1alpha1.AuthTokenGrant) {
	t.Helper()
	_, err := f.reconcileGrant(t.Context(), g)
	require.Error(t, err, "it is tried again")
}

// expectTold expects one event since told was last called, which begins so, and returns it.
func (f *fixture) expectTold(t *testing.T, prefix string) string {
	t.Helper()
	told := f.told()
	require.Len(t, told, 1)
	assert.True(t, strings.HasPrefix(told[0], prefix), told[0])
	return told[0]
}

// told returns the events since it was last called.
func (f *fixture) told() []string { return fakemember.Events(f.events) }

func at(t time.Time) *metav1.Time {
	stamp := metav1.NewTime(t)
	return &stamp
}

// newGrant returns a grant on the fake member, an hour old, of which a token may be out for an hour
// more.
func newGrant(account string) *v1alpha1.AuthTokenGrant {
	g := fakemember.NewGrant(account)
	g.CreationTimestamp = metav1.NewTime(now.Add(-time.Hour))
	g.Status.ExpirationCeiling = at(now.Add(time.Hour))
	return g
}

// unreached are Members that nobody is to ask for.
type unreached struct{ *testing.T }

func (u unreached) For(context.Context, *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	assert.Fail(u, "a member was asked for")
	return nil, context.Canceled
}

func (u unreached) Forget(types.UID) { assert.Fail(u, "a client was closed") }
