// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"errors"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/member"
)

func TestController_Reconcile(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	leaving := clusterObject("bravelion", "1")
	leaving.SetDeletionTimestamp(&metav1.Time{Time: metav1.Now().Time})
	leaving.SetFinalizers([]string{"karmada.io/cluster-controller"})
	with := func(change func(*inventoryv1alpha1.ClusterProfile)) []*inventoryv1alpha1.ClusterProfile {
		profile := imported(cluster)
		change(profile)
		return []*inventoryv1alpha1.ClusterProfile{profile}
	}
	for name, test := range map[string]struct {
		clusters []*unstructured.Unstructured
		profiles []*inventoryv1alpha1.ClusterProfile
		err      error
		want     []string
		event    string
	}{
		"a new Cluster gets a profile": {
			clusters: []*unstructured.Unstructured{cluster}, want: []string{"create clusterprofiles "}, event: "Normal Imported"},
		"a Cluster that has all writes nothing": {
			clusters: []*unstructured.Unstructured{cluster}, profiles: with(func(*inventoryv1alpha1.ClusterProfile) {})},
		"a label is restored": {clusters: []*unstructured.Unstructured{cluster}, profiles: with(func(p *inventoryv1alpha1.ClusterProfile) {
			p.Labels[v1alpha2.LabelInventoryMemberID] = "other"
		}), want: []string{"patch clusterprofiles "}},
		"an owner is restored": {clusters: []*unstructured.Unstructured{cluster}, profiles: with(func(p *inventoryv1alpha1.ClusterProfile) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x"}}
		}), want: []string{"patch clusterprofiles "}},
		"a profile of another manager is left alone": {
			clusters: []*unstructured.Unstructured{cluster}, profiles: with(func(p *inventoryv1alpha1.ClusterProfile) {
				p.Spec.ClusterManager.Name, p.OwnerReferences = "theirs", nil
			}), event: "Warning NotImported there is a ClusterProfile fleet/bravelion of another manager"},
		"the same without a Cluster": {profiles: with(func(p *inventoryv1alpha1.ClusterProfile) { p.Spec.ClusterManager.Name = "theirs" })},
		"a Cluster that is gone takes its profile along": {
			profiles: with(func(*inventoryv1alpha1.ClusterProfile) {}), want: []string{"delete clusterprofiles "}},
		"so does one that is being deleted": {
			clusters: []*unstructured.Unstructured{leaving}, profiles: with(func(*inventoryv1alpha1.ClusterProfile) {}),
			want: []string{"delete clusterprofiles "}},
		"and one that another has replaced": {
			clusters: []*unstructured.Unstructured{clusterObject("bravelion", "2")}, profiles: with(func(*inventoryv1alpha1.ClusterProfile) {}),
			want: []string{"delete clusterprofiles "}},
		"access that is refused is an event": {
			clusters: []*unstructured.Unstructured{cluster}, profiles: with(func(*inventoryv1alpha1.ClusterProfile) {}),
			err: errors.New("insecure"), event: "Warning NoAccess insecure"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, test.clusters, test.profiles...)
			f.err = test.err
			for range 2 {
				require.NoError(t, f.sync(t, "bravelion"))
				if len(test.want) > 0 {
					break // the cache is behind
				}
			}
			assert.Equal(t, test.want, f.writes())
			if test.event == "" {
				assert.Empty(t, f.events.Events)
				return
			}
			assert.Contains(t, <-f.events.Events, test.event)
			assert.Empty(t, f.events.Events, "it is not repeated")
		})
	}
}

func TestController_Remove(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	t.Run("a missing API deletes nothing", func(t *testing.T) {
		f := newFixture(t, nil, imported(cluster))
		f.objects.PrependReactor("get", "clusters", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewGenericServerResponse(404, "get", schema.GroupResource{}, "", "404 page not found", 0, true)
		})
		require.Error(t, f.sync(t, "bravelion"))
		assert.Empty(t, f.writes())
	})
	t.Run("a cache that is behind deletes nothing", func(t *testing.T) {
		f := newFixture(t, []*unstructured.Unstructured{cluster}, imported(cluster))
		require.NoError(t, f.clusters.Delete(cluster))
		err := f.sync(t, "bravelion")
		_, retried := errors.AsType[loop.RetryError](err)
		assert.True(t, retried, "%v", err)
		assert.Empty(t, f.writes())
	})
}

func TestController_Create(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	f := newFixture(t, []*unstructured.Unstructured{cluster})
	f.inventory.PrependReactor("create", "clusterprofiles", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "clusterprofiles"}, "bravelion", errors.New("no"))
	})
	for range 2 {
		require.Error(t, f.sync(t, "bravelion"))
	}
	assert.Contains(t, <-f.events.Events, "Warning NotImported")
	assert.Empty(t, f.events.Events, "it is not repeated")
}

// What a hub refuses to have written is said once, and tried again with backoff.
func TestController_UpdateRefused(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	f := newFixture(t, []*unstructured.Unstructured{cluster}, imported(cluster))
	f.entry.Cluster.Server = "https://moved"
	f.inventory.PrependReactor("patch", "clusterprofiles", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "clusterprofiles"}, "bravelion", errors.New("a policy"))
	})
	for range 2 {
		require.Error(t, f.sync(t, "bravelion"))
	}
	assert.Contains(t, <-f.events.Events, "Warning NotImported clusterprofiles")
	assert.Empty(t, f.events.Events, "it is not repeated")
}

// What the hub does not let the program read, such as Secrets without the rights, is tried again
// with backoff: there may be thousands of Clusters.
func TestController_Unread(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	access := config.DeepCopy()
	access.Limits = member.DefaultConfig().Limits
	pool, err := member.NewPool(member.Options{Config: access})
	require.NoError(t, err)
	f := newFixture(t, []*unstructured.Unstructured{cluster}, imported(cluster))
	f.Access = pool // it reads no Clusters
	unread := f.sync(t, "bravelion")
	assert.True(t, member.IsUnread(unread), "%v", unread)
	f.informers[f.Platforms[0]] = ondemand.New[*reader](t.Context(), nil, nil, errNotRead)
	require.ErrorIs(t, f.sync(t, "bravelion"), errNotRead)
	assert.Empty(t, f.events.Events)
	assert.Empty(t, f.writes())
}

func TestWithEntry(t *testing.T) {
	mine := inventoryv1alpha1.AccessProvider{Name: "a", Cluster: clientcmdv1.Cluster{Server: "https://new"}}
	earlier, theirs := inventoryv1alpha1.AccessProvider{Name: "a"}, inventoryv1alpha1.AccessProvider{Name: "b"}
	type entries = []inventoryv1alpha1.AccessProvider
	assert.Equal(t, entries{mine}, withEntry(nil, &mine))
	assert.Equal(t, entries{theirs, mine}, withEntry(entries{theirs}, &mine))
	assert.Equal(t, entries{mine, theirs}, withEntry(entries{earlier, theirs}, &mine))
}

func TestChanged(t *testing.T) {
	var enqueued []string
	handler := changed(func(cluster *unstructured.Unstructured) { enqueued = append(enqueued, cluster.GetResourceVersion()) })
	old, beat, next := clusterObject("bravelion", "1"), clusterObject("bravelion", "1"), clusterObject("bravelion", "1")
	old.SetResourceVersion("1")
	beat.SetResourceVersion("2")
	next.SetResourceVersion("3")
	next.SetDeletionTimestamp(&metav1.Time{Time: metav1.Now().Time})
	handler.OnAdd(old, true)
	handler.OnUpdate(old, beat)
	handler.OnUpdate(beat, next)
	handler.OnDelete(cache.DeletedFinalStateUnknown{Obj: next})
	assert.Equal(t, []string{"1", "3", "3"}, enqueued, "a heartbeat is no change")
}

func TestController_CreateTooMany(t *testing.T) {
	f := newFixture(t, []*unstructured.Unstructured{clusterObject("bravelion", "1")})
	for i := range maxProfiles {
		other := imported(clusterObject("other-"+strconv.Itoa(i), "1"))
		require.NoError(t, f.Profiles.Informer().GetStore().Add(other))
	}
	require.ErrorIs(t, f.sync(t, "bravelion"), errTooMany)
	assert.Empty(t, f.writes())
	assert.Contains(t, <-f.events.Events, "Warning NotImported namespace fleet has 10000 ClusterProfiles, of at most 10000")
}

func TestController_Run(t *testing.T) {
	c, err := New(Options{Clock: clock.RealClock{}})
	require.NoError(t, err)
	c.Run(t.Context()) // without platforms it returns at once, and needs nothing
}
