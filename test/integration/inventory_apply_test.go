// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

// applyAs applies what a person would write, as a field manager, to the profile whale or a
// subresource of it.
func applyAs(
	t *testing.T, namespace, manager string, force bool, content string, subresource ...string,
) (*inventoryv1alpha1.ClusterProfile, error) {
	t.Helper()
	profile := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte("apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\n"+content), profile))
	profile.SetName("whale")
	body := testenv.Must[[]byte](t)(profile.MarshalJSON())
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	return profilesIn(t, namespace).Patch(t.Context(), "whale", types.ApplyPatchType, body, options, subresource...)
}

// ownedFields returns the top-level fields that the entries of managedFields own, as "manager
// operation subresource: fields", where the fields of the metadata are not told apart.
func ownedFields(t *testing.T, profile *inventoryv1alpha1.ClusterProfile) map[string]string {
	t.Helper()
	owned := map[string]string{}
	for _, entry := range profile.ManagedFields {
		var fields map[string]any
		require.NoError(t, json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields))
		var top []string
		for field := range fields {
			top = append(top, strings.TrimPrefix(field, "f:"))
		}
		owned[strings.TrimSpace(fmt.Sprintf("%s %s %s", entry.Manager, entry.Operation, entry.Subresource))] = sorted(top)
	}
	return owned
}

const (
	appliedSpec = `metadata:
  labels: {team: ocean}
spec: {displayName: Whale, clusterManager: {name: apply}}
`
	appliedStatus = `status:
  version: {kubernetes: v1.37.2}
`
)

// Apply keeps the owners of spec and status apart.
func TestApply(t *testing.T) {
	namespace := newNamespace(t)
	_, err := applyAs(t, namespace, "owner", false, appliedSpec)
	require.NoError(t, err)
	// Each sends the other's fields, too, with other values: a conflict, were they not dropped.
	_, err = applyAs(t, namespace, "reporter", false, appliedStatus+"spec: {displayName: Stolen, clusterManager: {name: thief}}\n", "status")
	require.NoError(t, err)
	profile, err := applyAs(t, namespace, "owner", false, appliedSpec+"status: {version: {kubernetes: stolen}}\n")
	require.NoError(t, err)
	assert.Equal(t, "Whale", profile.Spec.DisplayName)
	assert.Equal(t, "v1.37.2", profile.Status.Version.Kubernetes)
	want := map[string]string{"owner Apply": "metadata spec", "reporter Apply status": "status"}
	assert.Equal(t, want, ownedFields(t, profile))
}

// An update owns what it changed, and no more.
func TestApply_Update(t *testing.T) {
	namespace := newNamespace(t)
	_, err := applyAs(t, namespace, "owner", false, appliedSpec)
	require.NoError(t, err)
	profile := getProfile(t, namespace, "whale")
	profile.Status.Version.Kubernetes = "v1.37.2"
	profile.Spec.DisplayName = "not by a status update"
	profile.Labels["not"] = "either"
	profile, err = profilesIn(t, namespace).UpdateStatus(t.Context(), profile, metav1.UpdateOptions{FieldManager: "reporter"})
	require.NoError(t, err)
	want := map[string]string{"owner Apply": "metadata spec", "reporter Update status": "status"}
	assert.Equal(t, want, ownedFields(t, profile))
}

// Apply of a field of another manager is a conflict, unless forced.
func TestApply_Conflict(t *testing.T) {
	namespace := newNamespace(t)
	_, err := applyAs(t, namespace, "first", false, appliedSpec)
	require.NoError(t, err)
	_, err = applyAs(t, namespace, "first", false, appliedStatus, "status")
	require.NoError(t, err)
	tests := map[string]struct {
		content     string
		subresource []string
		field       string
		value       func(*inventoryv1alpha1.ClusterProfile) string
	}{
		"in the spec": {
			"spec: {displayName: Second, clusterManager: {name: apply}}", nil, ".spec.displayName",
			func(p *inventoryv1alpha1.ClusterProfile) string { return p.Spec.DisplayName },
		},
		"in the status": {
			"status: {version: {kubernetes: Second}}", []string{"status"}, ".status.version.kubernetes",
			func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Version.Kubernetes },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := applyAs(t, namespace, "second", false, test.content, test.subresource...)
			assert.True(t, apierrors.IsConflict(err), "%v", err)
			assert.ErrorContains(t, err, test.field)
			assert.ErrorContains(t, err, `"first"`)
			profile, err := applyAs(t, namespace, "second", true, test.content, test.subresource...)
			require.NoError(t, err)
			assert.Equal(t, "Second", test.value(profile))
		})
	}
}

// Apply merges lists by their keys.
func TestApply_Lists(t *testing.T) {
	namespace := newNamespace(t)
	createProfile(t, namespace, testenv.NewProfile("whale", "apply"))
	const now = `lastTransitionTime: "2026-01-01T00:00:00Z"`
	parts := map[string]string{
		"health": `status:
  conditions: [{type: ControlPlaneHealthy, status: "True", reason: Fine, message: "", ` + now + `}]
  properties: [{name: region, value: ocean}]
  accessProviders: [{name: kubeconfig, cluster: {server: "https://a"}}]
`,
		"joiner": `status:
  conditions: [{type: Joined, status: "True", reason: Done, message: "", ` + now + `}]
  properties: [{name: cost, value: high}]
  accessProviders: [{name: oidc, cluster: {server: "https://b"}}]
`,
	}
	for manager, content := range parts {
		_, err := applyAs(t, namespace, manager, false, content, "status")
		require.NoError(t, err, manager)
	}
	expectKeys(t, getProfile(t, namespace, "whale"), "ControlPlaneHealthy Joined", "cost region", "kubeconfig oidc")

	_, err := applyAs(t, namespace, "joiner", false, parts["joiner"]+"  version: {kubernetes: v1}\n", "status")
	require.NoError(t, err)
	_, err = applyAs(t, namespace, "joiner", false, parts["health"], "status")
	require.NoError(t, err, "two managers that agree on a value")
	profile := getProfile(t, namespace, "whale")
	expectKeys(t, profile, "ControlPlaneHealthy", "region", "kubeconfig")
	assert.Empty(t, profile.Status.Version.Kubernetes, "a field that its only manager applies no longer")
}

func expectKeys(t *testing.T, profile *inventoryv1alpha1.ClusterProfile, conditions, properties, providers string) {
	t.Helper()
	var got [3][]string
	for _, c := range profile.Status.Conditions {
		got[0] = append(got[0], c.Type)
	}
	for _, p := range profile.Status.Properties {
		got[1] = append(got[1], p.Name)
	}
	for _, p := range profile.Status.AccessProviders {
		got[2] = append(got[2], p.Name)
	}
	want := [3]string{conditions, properties, providers}
	assert.Equal(t, want, [3]string{sorted(got[0]), sorted(got[1]), sorted(got[2])}, "conditions, properties and access providers")
}

func TestApply_Kubectl(t *testing.T) {
	namespace, hub := newNamespace(t), shared.Hub.Kubeconfig()
	manifest := "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\nmetadata: {name: whale}\n"
	run := func(input string, args ...string) (string, error) {
		return testenv.Kubectl(t.Context(), hub, input, append([]string{"-n", namespace}, args...)...)
	}

	t.Run("server-side, and a conflict that --force-conflicts takes over", func(t *testing.T) {
		_, err := run(manifest+"spec: {displayName: one, clusterManager: {name: apply}}", "apply", "--server-side", "-f", "-")
		require.NoError(t, err)
		second := manifest + "spec: {displayName: two, clusterManager: {name: apply}}"
		_, err = run(second, "apply", "--server-side", "--field-manager=second", "-f", "-")
		assert.ErrorContains(t, err, ".spec.displayName")
		_, err = run(second, "apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-")
		assert.NoError(t, err)
		assert.Equal(t, "two", getProfile(t, namespace, "whale").Spec.DisplayName)
	})
	t.Run("client-side, with a field that goes", func(t *testing.T) {
		shark := strings.Replace(manifest, "whale", "shark", 1)
		_, err := run(shark+"spec: {displayName: one, clusterManager: {name: apply}}", "apply", "-f", "-")
		require.NoError(t, err)
		_, err = run(shark+"spec: {clusterManager: {name: apply}}", "apply", "-f", "-")
		require.NoError(t, err)
		assert.Empty(t, getProfile(t, namespace, "shark").Spec.DisplayName)
	})
	t.Run("edit", func(t *testing.T) {
		t.Setenv("KUBE_EDITOR", `sed -i s/displayName:.*/displayName:\ edited/`)
		_, err := run("", "edit", "clusterprofile", "whale")
		require.NoError(t, err)
		assert.Equal(t, "edited", getProfile(t, namespace, "whale").Spec.DisplayName)
	})
	t.Run("the status through its subresource", func(t *testing.T) {
		status := manifest + "status: {version: {kubernetes: v1.37.2}}"
		_, err := run(status, "apply", "--server-side", "--subresource=status", "--field-manager=reporter", "-f", "-")
		require.NoError(t, err)
		assert.Equal(t, "v1.37.2", getProfile(t, namespace, "whale").Status.Version.Kubernetes)
	})
}

func TestInventory_Patch(t *testing.T) {
	namespace := newNamespace(t)
	const conditions = `[{"type":"A","status":"True","reason":"R","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]`
	displayName := func(p *inventoryv1alpha1.ClusterProfile) string { return p.Spec.DisplayName }
	tests := map[string]struct {
		kind        types.PatchType
		patch       string
		subresource []string
		value       func(*inventoryv1alpha1.ClusterProfile) string
		want        string
		is          func(error) bool
	}{
		"JSON": {types.JSONPatchType,
			`[{"op":"test","path":"/spec/displayName","value":"old"},{"op":"replace","path":"/spec/displayName","value":"new"}]`,
			nil, displayName, "new", nil},
		"JSON whose test fails": {types.JSONPatchType, `[{"op":"test","path":"/spec/displayName","value":"other"}]`,
			nil, displayName, "old", apierrors.IsInvalid},
		"merge":              {types.MergePatchType, `{"spec":{"displayName":"new"}}`, nil, displayName, "new", nil},
		"merge that removes": {types.MergePatchType, `{"spec":{"displayName":null}}`, nil, displayName, "", nil},
		"merge of the immutable": {types.MergePatchType, `{"spec":{"clusterManager":{"name":"other"}}}`,
			nil, displayName, "old", apierrors.IsInvalid},
		"merge of an old resourceVersion": {types.MergePatchType, `{"metadata":{"resourceVersion":"1"},"spec":{"displayName":"new"}}`,
			nil, displayName, "old", apierrors.IsConflict},
		"merge of the status": {types.MergePatchType,
			`{"status":{"conditions":` + conditions + `},"spec":{"displayName":"new"}}`, []string{"status"},
			func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Conditions[0].Type + displayName(p) }, "Aold", nil},
		"JSON of the status": {types.JSONPatchType, `[{"op":"add","path":"/status/conditions","value":` + conditions + `}]`,
			[]string{"status"}, func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Conditions[0].Type }, "A", nil},
		"merge of the status, past the status": {types.MergePatchType, `{"status":{"version":{"kubernetes":"v1"}}}`,
			nil, func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Version.Kubernetes }, "", nil},
		"not a patch": {types.MergePatchType, `[]`, nil, displayName, "old", apierrors.IsBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			profile := testenv.NewProfile("", "patch")
			profile.GenerateName, profile.Spec.DisplayName = "patched-", "old"
			profile = createProfile(t, namespace, profile)
			_, err := profilesIn(t, namespace).Patch(t.Context(), profile.Name, test.kind, []byte(test.patch), metav1.PatchOptions{},
				test.subresource...)
			assert.True(t, test.is == nil && err == nil || test.is != nil && test.is(err), "%v", err)
			assert.Equal(t, test.want, test.value(getProfile(t, namespace, profile.Name)))
		})
	}
}

// An unknown field is dropped with a warning, or refused.
func TestInventory_UnknownField(t *testing.T) {
	namespace := newNamespace(t)
	client := dyn(t, shared.Hub.RESTConfig()).Resource(profilesResource).Namespace(namespace)
	profile := &unstructured.Unstructured{}
	content := "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\nmetadata: {name: typo}\n" +
		"spec: {clusterManager: {name: m}, displayname: small}\n"
	require.NoError(t, yaml.Unmarshal([]byte(content), profile))
	_, err := client.Create(t.Context(), profile, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	assert.True(t, apierrors.IsBadRequest(err), "%v", err)
	assert.ErrorContains(t, err, `unknown field "spec.displayname"`)
	created := testenv.Must[*unstructured.Unstructured](t)(client.Create(t.Context(), profile,
		metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore}))
	_, found, _ := unstructured.NestedString(created.Object, "spec", "displayname")
	assert.False(t, found, "an unknown field was stored")
}
