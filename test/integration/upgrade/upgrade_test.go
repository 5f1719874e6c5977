// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upgrade tests that a hub goes from the release before to this one and back, on the same
// etcd.
package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

const namespace = "fleet"

var (
	earlier = inventoryv1alpha1.GroupVersion
	later   = v1alpha2.SchemeGroupVersion
	own     = clusterpassv1alpha1.SchemeGroupVersion
)

// releases are a hub, and two releases of the server that run on its etcd, one after the other.
type releases struct {
	hub           *testenv.Cluster
	before, today string
	dir           string
	port          int
	running       *testenv.Server
}

func newReleases(t *testing.T) *releases {
	t.Helper()
	r := &releases{
		before: serverOf(t, releaseBefore),
		today:  testenv.Must[string](t)(testenv.ServerPath()),
		dir:    t.TempDir(),
		port:   testenv.Must[[]int](t)(testenv.FreePorts(1))[0],
	}
	r.hub = testenv.Start(t, testenv.Options{})
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *releases) stop() {
	if r.running != nil {
		r.running.Stop()
	}
}

// run ends the release that runs, and starts another one, at the same place, with the same data. It
// is behind the APIServices of these group-versions.
func (r *releases) run(t *testing.T, program string, gvs ...schema.GroupVersion) {
	t.Helper()
	r.stop()
	t.Setenv(testenv.ServerEnv, program)
	r.running = testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
		Hub: r.hub, Dir: r.dir, Port: r.port, GroupVersions: gvs,
	}))
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	require.NoError(t, r.running.Start(ctx))
}

// deleteAPIService is the step before the way back.
func (r *releases) deleteAPIService(t *testing.T, gv schema.GroupVersion) {
	t.Helper()
	client := testenv.Must[aggregator.Interface](t)(aggregator.NewForConfig(r.hub.RESTConfig()))
	require.NoError(t, client.ApiregistrationV1().APIServices().Delete(t.Context(), gv.Version+"."+gv.Group, metav1.DeleteOptions{}))
}

// stored is everything that the release before knows, by resource and name.
type stored map[string]map[string]any

// read returns what is served in v1alpha1, whole.
func (r *releases) read(t *testing.T) stored {
	t.Helper()
	client := testenv.Must[dynamic.Interface](t)(dynamic.NewForConfig(r.hub.RESTConfig()))
	found := stored{}
	for _, resource := range []schema.GroupVersionResource{
		earlier.WithResource("clusterprofiles"), earlier.WithResource("placementdecisions"),
		own.WithResource("placements"), own.WithResource("clusterscores"), own.WithResource("clustercredentialsets"),
	} {
		list := testenv.Must[*unstructured.UnstructuredList](t)(
			client.Resource(resource).Namespace(namespace).List(t.Context(), metav1.ListOptions{}))
		for i := range list.Items {
			found[resource.Resource+"/"+list.Items[i].GetName()] = list.Items[i].Object
		}
	}
	return found
}

// fill makes objects with all that a release may lose, and returns them as they are stored.
func (r *releases) fill(t *testing.T) stored {
	t.Helper()
	testenv.Create(t, r.hub.Kube(t).CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	inventory := r.hub.Inventory(t).ApisV1alpha1()
	for _, name := range []string{"legacy", "written"} {
		profile := testenv.NewProfile(name, "-legacy-manager") // no label value: v1alpha2 refuses it
		profile.Labels = map[string]string{"a": "b"}
		profile = testenv.Create(t, inventory.ClusterProfiles(namespace), profile)
		provider := inventoryv1alpha1.AccessProvider{Name: "a", Cluster: clientcmdv1.Cluster{
			Server: "not-a-url", CertificateAuthority: "/ca.crt", TLSServerName: "b",
			Extensions: []clientcmdv1.NamedExtension{{Name: "c"}},
		}}
		provider.Cluster.Extensions[0].Extension.Raw = []byte(`{"d":[1,null]}`)
		profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{provider}
		profile.Status.CredentialProviders = []inventoryv1alpha1.AccessProvider{provider}
		profile.Status.Version.Kubernetes = "v1.37.2"
		testenv.UpdateStatus(t, inventory.ClusterProfiles(namespace), profile)
	}
	r.apply(t, earlier, "owner", "{displayName: Whale, clusterManager: {name: upgrade}}")
	testenv.Create(t, inventory.PlacementDecisions(namespace), &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{Name: "slice"}, SchedulerName: "upgrade",
		Decisions: []inventoryv1alpha1.ClusterDecision{{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "Legacy_Name", Namespace: "legacy.namespace"}, Reason: "why",
		}},
	})
	ours := r.hub.Clusterpass(t).ClusterpassV1alpha1()
	testenv.Create(t, ours.Placements(namespace), &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "any"}})
	testenv.Create(t, ours.ClusterScores(namespace), &clusterpassv1alpha1.ClusterScore{
		ObjectMeta: metav1.ObjectMeta{Name: "speed"},
		Spec:       clusterpassv1alpha1.ClusterScoreSpec{ClusterProfileName: "whale", ResourceName: "speed"},
	})
	return r.read(t)
}

// apply applies the spec of the profile whale in a version. It returns what kubectl prints if that
// is refused.
func (r *releases) apply(t *testing.T, gv schema.GroupVersion, manager, spec string) string {
	t.Helper()
	out, errOut, err := testenv.KubectlOf(t.Context(), "kubectl", r.hub.Kubeconfig(), fmt.Sprintf(
		"apiVersion: %s\nkind: ClusterProfile\nmetadata: {name: whale, namespace: %s}\nspec: %s\n", gv, namespace, spec),
		"apply", "--server-side", "--field-manager="+manager, "-f", "-")
	if err != nil {
		return out + errOut + err.Error()
	}
	return ""
}

// expectPreferred makes sure of the version that the hub's discovery prefers, and kubectl.
func (r *releases) expectPreferred(t *testing.T, want schema.GroupVersion, served ...schema.GroupVersion) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		group := &metav1.APIGroup{}
		err := r.hub.Kube(t).Discovery().RESTClient().Get().AbsPath("/apis/" + want.Group).Do(ctx).Into(group)
		if err != nil {
			return err
		}
		var versions []string
		for _, version := range group.Versions {
			versions = append(versions, version.GroupVersion)
		}
		if group.PreferredVersion.GroupVersion != want.String() || len(versions) != len(served) {
			return fmt.Errorf("discovery prefers %s of %v", group.PreferredVersion.GroupVersion, versions)
		}
		return nil
	})
	out := testenv.MustKubectl(t, r.hub.Kubeconfig(), "", "get", "clusterprofiles", "legacy", "-n", namespace, "-o", "jsonpath={.apiVersion}")
	assert.Equal(t, want.String(), out)
}

func TestUpgrade(t *testing.T) {
	r := newReleases(t)
	r.run(t, r.before, earlier, own)
	before := r.fill(t)
	r.expectPreferred(t, earlier, earlier)

	r.run(t, r.today, later, earlier, own)
	t.Run("everything is as it was", func(t *testing.T) { assert.Empty(t, cmp.Diff(before, r.read(t))) })
	t.Run("v1alpha2 is served and preferred", func(t *testing.T) { r.expectPreferred(t, later, later, earlier) })
	t.Run("objects are read in v1alpha2", func(t *testing.T) { r.expectLater(t) })
	t.Run("watches in each version see writes in both", func(t *testing.T) { r.expectWatch(t) })
	t.Run("owners of fields stay", func(t *testing.T) {
		assert.Contains(t, r.apply(t, later, "thief", "{displayName: Stolen, clusterManager: {name: upgrade}}"), `conflict with "owner"`)
		assert.Empty(t, r.apply(t, later, "owner", "{displayName: Orca, clusterManager: {name: upgrade}}"))
	})
	testenv.MustKubectl(t, r.hub.Kubeconfig(), "", "label", "clusterprofile", "written", "-n", namespace, "upgraded=yes")
	today := r.read(t)

	r.deleteAPIService(t, later)
	r.run(t, r.before, earlier, own)
	t.Run("after the way back", func(t *testing.T) { r.expectBack(t, before, today) })
}

// expectLater reads everything in v1alpha2.
func (r *releases) expectLater(t *testing.T) {
	t.Helper()
	client := r.hub.Clusterpass(t).MulticlusterV1alpha2()
	profile := testenv.Get(t, client.ClusterProfiles(namespace), "legacy")
	assert.Equal(t, "-legacy-manager", profile.Spec.ClusterManager.Name)
	require.Len(t, profile.Status.AccessProviders, 1)
	cluster := profile.Status.AccessProviders[0].Cluster
	assert.Equal(t, "not-a-url", cluster.Server)
	assert.JSONEq(t, `{"d":[1,null]}`, string(cluster.Extensions[0].Extension.Raw))
	decision := testenv.Get(t, client.PlacementDecisions(namespace), "slice")
	assert.Equal(t, "Legacy_Name", decision.Decisions[0].ClusterProfileRef.Name)
}

// expectWatch watches both versions while both are written.
func (r *releases) expectWatch(t *testing.T) {
	t.Helper()
	inEarlier, inLater := r.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace),
		r.hub.Clusterpass(t).MulticlusterV1alpha2().ClusterProfiles(namespace)
	from := metav1.ListOptions{ResourceVersion: testenv.List(t, inEarlier, metav1.ListOptions{}).ResourceVersion}
	watches := map[string]watch.Interface{
		"v1alpha1": testenv.Must[watch.Interface](t)(inEarlier.Watch(t.Context(), from)),
		"v1alpha2": testenv.Must[watch.Interface](t)(inLater.Watch(t.Context(), from)),
	}
	testenv.Create(t, inEarlier, testenv.NewProfile("in-v1alpha1", "upgrade"))
	testenv.Create(t, inLater, &v1alpha2.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "in-v1alpha2"},
		Spec:       v1alpha2.ClusterProfileSpec{ClusterManager: v1alpha2.ClusterManager{Name: "upgrade"}},
	})
	for name, events := range watches {
		var seen []string
		for len(seen) < 2 {
			event := <-events.ResultChan()
			object, ok := event.Object.(metav1.Object)
			require.True(t, ok, "%s: %v", name, event)
			seen = append(seen, object.GetName())
		}
		events.Stop()
		assert.Equal(t, []string{"in-v1alpha1", "in-v1alpha2"}, seen, "the watch in %s", name)
	}
}

// expectBack compares what the release before serves with what it had before, and with what today's
// release has left.
func (r *releases) expectBack(t *testing.T, before, today stored) {
	t.Helper()
	r.expectPreferred(t, earlier, earlier)
	now := r.read(t)
	assert.Empty(t, cmp.Diff(today, now), "what today's release served in v1alpha1")
	for name, object := range before {
		if written := []string{"clusterprofiles/written", "clusterprofiles/whale"}; !slices.Contains(written, name) {
			assert.Empty(t, cmp.Diff(object, now[name]), "%s, which was not written", name)
		}
	}
	client := r.hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
	written := testenv.Get(t, client, "written")
	assert.Equal(t, "yes", written.Labels["upgraded"])
	assert.Empty(t, written.Status.CredentialProviders, "kubectl has written in v1alpha2")
	assert.Equal(t, "Orca", testenv.Get(t, client, "whale").Spec.DisplayName)
	managers := func(name string) string {
		var all []string
		for _, entry := range testenv.Get(t, client, name).ManagedFields {
			all = append(all, entry.Manager+" "+entry.APIVersion)
		}
		return strings.Join(all, ", ")
	}
	assert.Contains(t, managers("whale"), "owner "+later.String())

	testenv.Patch(t, client, "in-v1alpha2", `{"spec":{"displayName":"Back"}}`)
	testenv.Patch(t, client, "whale", `{"metadata":{"labels":{"back":"yes"}}}`)
	assert.NotContains(t, managers("whale"), later.String(), "the release before knows no owners in v1alpha2")
	require.NoError(t, client.Delete(t.Context(), "in-v1alpha2", metav1.DeleteOptions{}))
}
