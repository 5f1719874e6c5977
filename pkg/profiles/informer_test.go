// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// profile returns a ClusterProfile with a status as some manager's CRD accepts it.
func profile(name string, status map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
		"metadata": map[string]any{"namespace": "default", "name": name, "uid": "uid-" + name, "resourceVersion": "1"},
		"spec":     map[string]any{"displayName": "shown", "clusterManager": map[string]any{"name": "somebody"}},
		"status":   status,
	}}
}

func condition(at string) map[string]any {
	return map[string]any{"type": "Joined", "status": "True", "reason": "Joined", "message": "", "lastTransitionTime": at}
}

func provider(name, server string) map[string]any {
	return map[string]any{"name": name, "cluster": map[string]any{"server": server}}
}

func TestDecode(t *testing.T) {
	good := provider("kubeconfig", "https://member.example.com")
	broken := map[string]any{"name": "broken", "cluster": map[string]any{"certificate-authority-data": "not base64!"}}
	known := []string{"https://member.example.com"}
	for name, test := range map[string]struct {
		conditions any
		providers  []any
		year       int
		servers    []string
	}{
		"what the type holds is there":                      {[]any{condition("2026-01-01T00:00:00Z")}, []any{good}, 2026, known},
		"a time in lower case costs the time":               {[]any{condition("2026-01-01t00:00:00z")}, []any{good}, 1970, known},
		"an offset that no clock has costs the time":        {[]any{condition("2026-01-01T00:00:00+99:99")}, []any{good}, 1970, known},
		"an access provider that cannot be read goes alone": {[]any{condition("2026-01-01T00:00:00Z")}, []any{broken, good}, 2026, known},
		"else the status goes":                              {"none", []any{good}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			decoded := Decode(t.Context(), profile("one", map[string]any{"conditions": test.conditions, "accessProviders": test.providers}))
			assert.Equal(t, "one", decoded.Name)
			assert.Equal(t, "1", decoded.ResourceVersion)
			assert.Equal(t, "somebody", decoded.Spec.ClusterManager.Name)
			year := 0
			for i := range decoded.Status.Conditions {
				year = decoded.Status.Conditions[i].LastTransitionTime.UTC().Year()
			}
			assert.Equal(t, test.year, year)
			var servers []string
			for i := range decoded.Status.AccessProviders {
				servers = append(servers, decoded.Status.AccessProviders[i].Cluster.Server)
			}
			assert.Equal(t, test.servers, servers)
		})
	}
}

func TestNewInformer(t *testing.T) {
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	odd := map[string]any{"conditions": []any{condition("2026-01-01t00:00:00z")}}
	client := dynamicfake.NewSimpleDynamicClient(scheme, profile("odd", odd), profile("even", map[string]any{}))
	informer := NewInformer(client, serving(inventoryv1alpha1.GroupVersion))
	go informer.RunWithContext(t.Context())
	has := func(name string) func(context.Context) error {
		return func(context.Context) error {
			_, there, err := informer.GetStore().GetByKey("default/" + name)
			if err == nil && !there {
				return assert.AnError
			}
			return err
		}
	}
	testenv.Eventually(t, has("odd"))
	testenv.Eventually(t, has("even"))

	profiles := client.Resource(inventoryv1alpha1.GroupVersion.WithResource(ClusterProfiles)).Namespace("default")
	for _, later := range []*unstructured.Unstructured{profile("odd-later", odd), profile("even-later", map[string]any{})} {
		_, err := profiles.Create(t.Context(), later, metav1.CreateOptions{})
		require.NoError(t, err)
		testenv.Eventually(t, has(later.GetName()))
	}
	stored, _, err := informer.GetStore().GetByKey("default/odd-later")
	require.NoError(t, err)
	assert.IsType(t, &inventoryv1alpha1.ClusterProfile{}, stored)
}
