// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	applyv1alpha2 "clusterpass.dev/pkg/generated/applyconfiguration/multicluster/v1alpha2"
	"clusterpass.dev/test/testenv"
)

// verbs are those of a typed client, for objects T and lists L.
type verbs[T, L any] interface {
	Create(ctx context.Context, object T, options metav1.CreateOptions) (T, error)
	Get(ctx context.Context, name string, options metav1.GetOptions) (T, error)
	List(ctx context.Context, options metav1.ListOptions) (L, error)
	Watch(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
	Update(ctx context.Context, object T, options metav1.UpdateOptions) (T, error)
	Patch(ctx context.Context, name string, form types.PatchType, data []byte, options metav1.PatchOptions, subresources ...string) (T, error)
	Delete(ctx context.Context, name string, options metav1.DeleteOptions) error
}

// useAll creates, reads, watches, changes and deletes an object, and makes sure that reader, of the
// other version, sees the same.
func useAll[T, U metav1.Object, L, M runtime.Object](t *testing.T, client verbs[T, L], reader verbs[U, M], object T) {
	t.Helper()
	ctx := t.Context()
	created := testenv.Must[T](t)(client.Create(ctx, object, metav1.CreateOptions{}))
	name := created.GetName()
	expect := func(verb string, got T) {
		t.Helper()
		for _, other := range []metav1.Object{
			testenv.Must[T](t)(client.Get(ctx, name, metav1.GetOptions{})), testenv.Must[U](t)(reader.Get(ctx, name, metav1.GetOptions{})),
		} {
			assert.Equal(t, got.GetResourceVersion(), other.GetResourceVersion(), verb)
			assert.Equal(t, got.GetLabels(), other.GetLabels(), verb)
			assert.Equal(t, created.GetUID(), other.GetUID(), verb)
		}
	}
	expect("create", created)
	from := metav1.ListOptions{ResourceVersion: created.GetResourceVersion()}
	events := testenv.Must[watch.Interface](t)(client.Watch(ctx, from))
	defer events.Stop()
	assert.Contains(t, names(t, testenv.Must[L](t)(client.List(ctx, metav1.ListOptions{}))), name)

	created.SetLabels(map[string]string{"updated": "yes"})
	expect("update", testenv.Must[T](t)(client.Update(ctx, created, metav1.UpdateOptions{})))
	for form, patch := range map[types.PatchType]string{
		types.MergePatchType: `{"metadata":{"labels":{"merged":"yes"}}}`,
		types.JSONPatchType:  `[{"op":"add","path":"/metadata/labels/patched","value":"yes"}]`,
	} {
		expect(string(form), testenv.Must[T](t)(client.Patch(ctx, name, form, []byte(patch), metav1.PatchOptions{})))
	}
	require.NoError(t, client.Delete(ctx, name, metav1.DeleteOptions{}))
	_, err := reader.Get(ctx, name, metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	for _, want := range []watch.EventType{watch.Modified, watch.Modified, watch.Modified, watch.Deleted} {
		assert.Equal(t, want, nextEvent(t, events).Type)
	}
}

// Upstream's typed client of v1alpha1 and ours of v1alpha2 use one hub.
func TestVersions_Clients(t *testing.T) {
	namespace := newNamespace(t)
	profiles, laterProfiles := profilesIn(t, namespace), laterProfilesIn(t, namespace)
	decisions := decisionsIn(t, namespace)
	laterDecisions := testenv.Clusterpass(t, shared.Hub.RESTConfig()).MulticlusterV1alpha2().PlacementDecisions(namespace)
	t.Run("profiles in v1alpha1", func(t *testing.T) {
		useAll(t, profiles, laterProfiles, testenv.NewProfile("earlier", "clients"))
	})
	t.Run("profiles in v1alpha2", func(t *testing.T) { useAll(t, laterProfiles, profiles, laterProfile("later", "clients")) })
	t.Run("decisions in v1alpha1", func(t *testing.T) { useAll(t, decisions, laterDecisions, newDecision("earlier", "whale")) })
	t.Run("decisions in v1alpha2", func(t *testing.T) {
		useAll(t, laterDecisions, decisions, &v1alpha2.PlacementDecision{
			ObjectMeta: metav1.ObjectMeta{Name: "later"}, Decisions: []v1alpha2.ClusterDecision{},
		})
	})
	t.Run("server-side apply in v1alpha2", func(t *testing.T) {
		options := metav1.ApplyOptions{FieldManager: "clients"}
		applied := func() *applyv1alpha2.ClusterProfileApplyConfiguration {
			return applyv1alpha2.ClusterProfile("applied", namespace)
		}
		_, err := laterProfiles.Apply(t.Context(), applied().WithSpec(applyv1alpha2.ClusterProfileSpec().WithDisplayName("Applied").
			WithClusterManager(applyv1alpha2.ClusterManager().WithName("clients"))), options)
		require.NoError(t, err)
		_, err = laterProfiles.ApplyStatus(t.Context(), applied().WithStatus(applyv1alpha2.ClusterProfileStatus().WithAccessProviders(
			applyv1alpha2.AccessProvider().WithName("a").WithCluster(applyv1alpha2.Cluster().WithServer("https://a")))), options)
		require.NoError(t, err)
		got := testenv.Get(t, profiles, "applied")
		assert.Equal(t, "Applied", got.Spec.DisplayName)
		assert.Equal(t, "https://a", got.Status.AccessProviders[0].Cluster.Server)
	})
}

// Kubectl has all of its verbs in the version that it prefers, and in the one that it is told.
func TestVersions_KubectlVerbs(t *testing.T) {
	namespace := newNamespace(t)
	kubectl := func(t *testing.T, input string, args ...string) string {
		t.Helper()
		return testenv.MustKubectl(t, shared.Hub.Kubeconfig(), input, append(args, "-n", namespace)...)
	}
	for version, resource := range map[string]string{
		v1alpha2.SchemeGroupVersion.Version: "clusterprofiles", inventoryv1alpha1.Version: "clusterprofiles.v1alpha1.multicluster.x-k8s.io",
	} {
		t.Run(version, func(t *testing.T) {
			name := "in-" + version
			manifest := func(display string) string {
				return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/%s\nkind: ClusterProfile\nmetadata: {name: %s}\n"+
					"spec: {displayName: %s, clusterManager: {name: kubectl}}\n", version, name, display)
			}
			kubectl(t, manifest("created"), "create", "-f", "-")
			assert.Contains(t, kubectl(t, "", "get", resource, "-o", "name"), "/"+name)
			kubectl(t, "", "patch", resource, name, "--type=merge", `--patch={"metadata":{"labels":{"merged":"yes"}}}`)
			kubectl(t, "", "label", resource, name, "labelled=yes")
			kubectl(t, manifest("replaced"), "replace", "-f", "-")
			kubectl(t, manifest("applied"), "apply", "--server-side", "--force-conflicts", "-f", "-")
			kubectl(t, manifest("client-side"), "apply", "-f", "-")
			// A wait is a watch.
			kubectl(t, "", "wait", resource, name, "--for=jsonpath={.spec.displayName}=client-side")
			out := kubectl(t, "", "get", resource, name, "-o", "jsonpath={.apiVersion} {.spec.displayName}")
			assert.Equal(t, "multicluster.x-k8s.io/"+version+" client-side", out)
			kubectl(t, "", "delete", resource, name)
			assert.Empty(t, kubectl(t, "", "get", resource, name, "--ignore-not-found", "-o", "name"))
		})
	}
}
