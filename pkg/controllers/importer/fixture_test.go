// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/tools/cache"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/member"
)

var (
	karmada = &configv1alpha1.KarmadaSecretProvider{Namespaces: []string{"karmada-cluster"}, ProfileNamespace: "fleet"}
	config  = &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{
		{Name: "karmada", KarmadaSecret: karmada},
		{Name: "capi", ClusterAPISecret: &configv1alpha1.ClusterAPISecretProvider{Namespaces: []string{"a", "b"}}},
	}}
)

// clusterObject returns a Cluster of Karmada.
func clusterObject(name, uid string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
		"metadata": map[string]any{"name": name, "uid": uid}, "spec": map[string]any{"id": "id-" + name, "syncMode": "Push"},
	}}
}

// fixture is a Controller for Karmada with a hub in memory. Its caches are filled by hand.
type fixture struct {
	*Controller
	clusters  cache.Store
	inventory *inventoryfake.Clientset
	objects   *dynamicfake.FakeDynamicClient
	events    *events.FakeRecorder
	// entry and err are what Implied returns.
	entry *inventoryv1alpha1.AccessProvider
	err   error
}

// Implied implements Access.
func (f *fixture) Implied(*inventoryv1alpha1.ClusterProfile, string) (*inventoryv1alpha1.AccessProvider, error) {
	return f.entry, f.err
}

// newFixture returns a fixture whose hub has the Clusters and the profiles, and whose caches have
// them, too.
func newFixture(t *testing.T, clusters []*unstructured.Unstructured, profiles ...*inventoryv1alpha1.ClusterProfile) *fixture {
	t.Helper()
	platforms, err := NewPlatforms([]string{Karmada}, config)
	require.NoError(t, err)
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	f := &fixture{
		inventory: inventoryfake.NewSimpleClientset(),
		objects: dynamicfake.NewSimpleDynamicClientWithCustomListKinds(scheme,
			map[schema.GroupVersionResource]string{member.KarmadaClusterResource: "ClusterList"}),
		events: events.NewFakeRecorder(10),
		entry:  &inventoryv1alpha1.AccessProvider{Name: "karmada", Cluster: clientcmdv1.Cluster{Server: "https://member"}},
	}
	f.Controller, err = New(Options{
		Platforms: platforms, Objects: f.objects, Inventory: f.inventory, Access: f, Recorder: f.events, Clock: clock.RealClock{},
		Profiles: inventoryinformers.NewSharedInformerFactory(f.inventory, 0).Apis().V1alpha1().ClusterProfiles(),
		OnChange: func(func(cache.ObjectName)) error { return nil },
	})
	require.NoError(t, err)
	informer := &filled{cache.NewSharedIndexInformer(&cache.ListWatch{}, &unstructured.Unstructured{}, 0, cache.Indexers{})}
	f.clusters = informer.GetStore()
	open := func(context.Context, string) (*reader, []cache.SharedIndexInformer, error) {
		return &reader{resource: member.KarmadaClusterResource, store: f.clusters}, []cache.SharedIndexInformer{informer}, nil
	}
	f.informers[platforms[0]] = ondemand.New(t.Context(), open, cache.ResourceEventHandlerFuncs{}, errNotRead)
	_, err = f.informers[platforms[0]].Start(t.Context(), "")
	require.NoError(t, err)
	for _, cluster := range clusters {
		require.NoError(t, f.clusters.Add(cluster))
		_, err := f.objects.Resource(member.KarmadaClusterResource).Create(t.Context(), cluster, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	for _, profile := range profiles {
		require.NoError(t, f.Profiles.Informer().GetStore().Add(profile))
		require.NoError(t, f.inventory.Tracker().Add(profile))
	}
	return f
}

// filled is an informer that never runs, and whose cache counts as filled.
type filled struct{ cache.SharedIndexInformer }

func (*filled) AddEventHandler(cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return synced{}, nil
}

func (*filled) RunWithContext(context.Context) {}

type synced struct {
	cache.ResourceEventHandlerRegistration
}

func (synced) HasSynced() bool { return true }

func (f *fixture) sync(t *testing.T, cluster string) error {
	t.Helper()
	_, err := f.reconcile(t.Context(), item{f.Platforms[0], cache.NewObjectName("", cluster)})
	return err
}

// writes returns the verbs of the writes to the hub.
func (f *fixture) writes() []string {
	var verbs []string
	for _, action := range append(f.inventory.Actions(), f.objects.Actions()...) {
		if action.Matches("create", "clusters") || action.GetVerb() == "get" || action.GetVerb() == "list" || action.GetVerb() == "watch" {
			continue
		}
		verbs = append(verbs, action.GetVerb()+" "+action.GetResource().Resource+" "+action.GetSubresource())
	}
	return verbs
}

// imported returns the profile of a Cluster as the controller keeps it.
func imported(cluster *unstructured.Unstructured) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "fleet", Name: cluster.GetName(), UID: "profile-" + cluster.GetUID(),
			Labels: map[string]string{
				v1alpha2.LabelClusterManager: member.KarmadaManager, v1alpha2.LabelInventoryMemberID: "id-" + cluster.GetName(),
			},
			OwnerReferences: []metav1.OwnerReference{ownerOf(cluster)},
		},
		Spec: inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: member.KarmadaManager}},
		Status: inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{
			{Name: "karmada", Cluster: clientcmdv1.Cluster{Server: "https://member"}},
		}},
	}
}
