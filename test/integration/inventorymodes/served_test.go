// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

const (
	// automanaged is on the APIServices that kube-apiserver makes for CRDs.
	automanaged  = "kube-aggregator.kubernetes.io/automanaged"
	profilesPath = "/apis/multicluster.x-k8s.io/v1alpha1/clusterprofiles"
	grantsPath   = "/apis/clusterpass.dev/v1alpha1/authtokengrants"
	anExport     = `{"apiVersion": %q, "kind": "ServiceExport", "metadata": {"namespace": "default", "name": %q}}`
)

func TestServed_CRDsLater(t *testing.T) {
	leaveHubClean(t)
	s := startServer(t, served)
	s.register(t, multicluster, clusterpass)
	join(t, "later")
	expectDescribed(t, multicluster, ours...)

	t.Run("CRDs of the group in another version are no clash", func(t *testing.T) {
		installServiceCRDs(t, false)
		t.Run("both sides work", func(t *testing.T) {
			expectDescribed(t, schema.GroupVersion{Group: multicluster.Group, Version: "v1beta1"}, services...)
			expectDescribed(t, multicluster, ours...)
			testenv.MustKubectl(t, hub.Kubeconfig(), fmt.Sprintf(anExport, mcsBeta, "beta"), "create", "-f", "-")
			require.NoError(t, s.check(t.Context(), ""))
			expectToken(t, hub.RESTConfig(), request("later", "later-beta"))
		})
		t.Run("a version that is served from now on is", func(t *testing.T) {
			serveAlpha(t, "serviceexports."+multicluster.Group, true)
			said := s.expectNotReady(t, crdsCheck, "serviceexports.multicluster.x-k8s.io", "--inventory=External")
			assert.NotContains(t, said, "serviceimports")
			serveAlpha(t, "serviceexports."+multicluster.Group, false)
			s.expectReady(t)
		})
	})

	t.Run("CRDs of ClusterProfile and PlacementDecision in another version alone are", func(t *testing.T) {
		installProfileCRDs(t, serveLater)
		s.expectNotReady(t, crdsCheck, append(crdNames(profiles...), "a second inventory")...)
		expectUnavailable(t, profilesPath)
	})

	t.Run("CRDs in the group-version itself", func(t *testing.T) {
		installProfileCRDs(t)
		installServiceCRDs(t, true)
		expectClash(t, s)
		assert.Contains(t, s.log(t), "CustomResourceDefinitions clash", "the log does not say so")
		_, err := testenv.Kubectl(t.Context(), hub.Kubeconfig(), "", "get", "--raw", profilesPath)
		require.ErrorContains(t, err, "currently unable to handle the request")

		restartHub(t)
		testenv.Eventually(t, openAPIIsWhole)
		expectClash(t, s)
	})

	t.Run("when they are gone, everything is as it was", func(t *testing.T) {
		s.expectReady(t)
		expectDescribed(t, multicluster, ours...)
		expectToken(t, hub.RESTConfig(), request("later", "later"))
		assert.Contains(t, s.log(t), "No CustomResourceDefinition clashes any more")
	})
}

// expectClash waits until the server is not ready because of all CRDs, and the hub has no part of
// it, but its own whole.
func expectClash(t *testing.T, s *server) {
	t.Helper()
	s.expectNotReady(t, crdsCheck,
		append(crdNames(allCRDs...), "multicluster.x-k8s.io/v1alpha1", "--inventory=External", "docs/migration.md")...)
	expectUnavailable(t, profilesPath)
	expectUnavailable(t, grantsPath)
	require.NoError(t, openAPIIsWhole(t.Context()))
}

func TestServed_CRDsBefore(t *testing.T) {
	leaveHubClean(t)
	installProfileCRDs(t)
	installServiceCRDs(t, true)
	join(t, "before")
	before := getProfile(t, "before")
	expectDescribed(t, multicluster, allCRDs...)

	s := startServer(t, served)
	s.expectNotReady(t, crdsCheck, crdNames(allCRDs...)...)

	t.Run("kubectl apply of our APIService is reverted", func(t *testing.T) {
		s.applyAPIService(t, multicluster, "apply")
		testenv.Eventually(t, func(ctx context.Context) error {
			service, available, err := apiService(ctx, multicluster)
			if err == nil && (service.Spec.Service != nil || service.Labels[automanaged] == "" || !available) {
				err = fmt.Errorf("the APIService is not the CRDs': %v", service)
			}
			return err
		})
		// The hub's aggregator follows its APIServices: until it has seen this one, it sends requests to
		// our Service.
		testenv.Eventually(t, func(ctx context.Context) error {
			resources, err := discovered(ctx, multicluster)
			if err == nil && !slices.Equal(allCRDs, resources) {
				err = fmt.Errorf("the hub serves %v", resources)
			}
			return err
		})
		require.Empty(t, cmp.Diff(before, getProfile(t, "before")))
		require.NoError(t, openAPIIsWhole(t.Context()))
		testenv.MustKubectl(t, hub.Kubeconfig(), "", "get", "serviceexports", "--all-namespaces")

		// It was ours for a moment, and the hub's aggregated discovery has not taken the group back.
		deleteAPIService(t.Context(), t, multicluster.Version+"."+multicluster.Group)
		expectDescribed(t, multicluster, allCRDs...)
		testenv.MustKubectl(t, hub.Kubeconfig(), fmt.Sprintf(anExport, multicluster, "reverted"), "create", "-f", "-")
	})

	t.Run("kubectl replace holds, and the hub answers 503 rather than both", func(t *testing.T) {
		s.applyAPIService(t, multicluster, "replace")
		s.applyAPIService(t, clusterpass, "apply")
		expectClash(t, s)
		restartHub(t)
		testenv.Eventually(t, openAPIIsWhole)
		expectClash(t, s)
		service, _, err := apiService(t.Context(), multicluster)
		require.NoError(t, err)
		require.NotNil(t, service.Spec.Service, "the APIService was reverted")
	})

	t.Run("deleting our APIService gives the group back to the CRDs", func(t *testing.T) {
		expectDescribed(t, multicluster, allCRDs...)
		require.Empty(t, cmp.Diff(before, getProfile(t, "before")))
	})

	t.Run("the way to Served: export, remove the CRDs, register, import", func(t *testing.T) {
		exported := exportProfiles(t)
		for _, name := range crdNames(allCRDs...) {
			removeCRD(t.Context(), t, name)
		}
		s.expectReady(t)
		s.register(t, multicluster, clusterpass)
		expectDescribed(t, multicluster, ours...)
		testenv.MustKubectl(t, hub.Kubeconfig(), exported, "create", "-f", "-")
		testenv.MustKubectl(t, hub.Kubeconfig(), exported, "replace", "--subresource=status", "-f", "-")

		after := getProfile(t, "before")
		require.Empty(t, cmp.Diff(before.Spec, after.Spec, cmpopts.EquateEmpty()))
		require.Empty(t, cmp.Diff(before.Status, after.Status, cmpopts.EquateEmpty()))
		require.NotEqual(t, before.UID, after.UID)
		expectToken(t, hub.RESTConfig(), request("before", "before"))
	})
}

func TestServed_ToExternal(t *testing.T) {
	leaveHubClean(t)
	var exported string
	t.Run("export", func(t *testing.T) {
		s := startServer(t, served)
		s.register(t, multicluster, clusterpass)
		expectDescribed(t, multicluster, ours...)
		join(t, "back")
		exported = exportProfiles(t)
	})
	installProfileCRDs(t)
	expectDescribed(t, multicluster, profiles...)
	testenv.MustKubectl(t, hub.Kubeconfig(), exported, "create", "-f", "-")
	testenv.MustKubectl(t, hub.Kubeconfig(), exported, "replace", "--subresource=status", "-f", "-")

	s := startServer(t, external)
	s.register(t, clusterpass)
	expectToken(t, hub.RESTConfig(), request("back", "back"))
}

// exportProfiles returns all ClusterProfiles without the server's fields, which docs/migration.md
// takes out with jq.
func exportProfiles(t *testing.T) string {
	t.Helper()
	list := testenv.MustKubectl(t, hub.Kubeconfig(), "", "get", "clusterprofiles", "--all-namespaces", "--output=json")
	var all unstructured.UnstructuredList
	require.NoError(t, json.Unmarshal([]byte(list), &all))
	require.NotEmpty(t, all.Items)
	for _, item := range all.Items {
		for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
			unstructured.RemoveNestedField(item.Object, "metadata", field)
		}
	}
	return string(testenv.Must[[]byte](t)(json.Marshal(&all)))
}

// Namespaces of the hub wait for the end of a clash.
func TestServed_NamespacesWait(t *testing.T) {
	leaveHubClean(t)
	s := startServer(t, served)
	s.register(t, multicluster, clusterpass)
	namespaces := hub.Kube(t).CoreV1().Namespaces()
	created := testenv.Create(t, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "waiting-"}})

	t.Run("a condition says why", func(t *testing.T) {
		installProfileCRDs(t)
		expectUnavailable(t, profilesPath)
		require.NoError(t, namespaces.Delete(t.Context(), created.Name, metav1.DeleteOptions{}))
		testenv.Await(t, namespaces, created.Name, func(namespace *corev1.Namespace) error {
			if !slices.ContainsFunc(namespace.Status.Conditions, func(c corev1.NamespaceCondition) bool {
				return c.Type == corev1.NamespaceDeletionDiscoveryFailure && c.Status == corev1.ConditionTrue &&
					strings.Contains(c.Message, multicluster.String())
			}) {
				return fmt.Errorf("conditions %v", namespace.Status.Conditions)
			}
			return nil
		})
	})
	testenv.AwaitGone(t, namespaces, created.Name)
}

// join makes bravelion known to the hub as the ClusterProfile named.
func join(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, testenv.Join(t.Context(), hub, bravelion, "default", name))
}

func getProfile(t *testing.T, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Get(t, hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default"), name)
}
