// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

// applyAs applies what a person would write, as a field manager, to the profile whale or a subresource of it.
func applyAs(t *testing.T, namespace, manager string, force bool, content string, subresource ...string) (*inventoryv1alpha1.ClusterProfile, error) {
	t.Helper()
	profile := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte("apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\n"+content), profile); err != nil {
		t.Fatal(err)
	}
	profile.SetName("whale")
	body := testenv.Must[[]byte](t)(profile.MarshalJSON())
	options := metav1.PatchOptions{FieldManager: manager, Force: &force}
	return profilesIn(t, namespace).Patch(t.Context(), "whale", types.ApplyPatchType, body, options, subresource...)
}

// ownedFields returns the top-level fields that the entries of managedFields own, as "manager operation subresource:
// fields", where the fields of the metadata are not told apart.
func ownedFields(t *testing.T, profile *inventoryv1alpha1.ClusterProfile) map[string]string {
	t.Helper()
	owned := map[string]string{}
	for _, entry := range profile.ManagedFields {
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			t.Fatal(err)
		}
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
	if _, err := applyAs(t, namespace, "owner", false, appliedSpec); err != nil {
		t.Fatal(err)
	}
	// Each sends the other's fields, too, with other values: a conflict, were they not dropped.
	if _, err := applyAs(t, namespace, "reporter", false, appliedStatus+"spec: {displayName: Stolen, clusterManager: {name: thief}}\n", "status"); err != nil {
		t.Fatalf("applying the status: %v", err)
	}
	profile, err := applyAs(t, namespace, "owner", false, appliedSpec+"status: {version: {kubernetes: stolen}}\n")
	if err != nil {
		t.Fatalf("applying the spec again: %v", err)
	}
	if profile.Spec.DisplayName != "Whale" || profile.Status.Version.Kubernetes != "v1.37.2" {
		t.Errorf("spec and status steal from each other: %+v %+v", profile.Spec, profile.Status)
	}
	want := map[string]string{"owner Apply": "metadata spec", "reporter Apply status": "status"}
	if diff := cmp.Diff(want, ownedFields(t, profile)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// An update owns what it changed, and no more.
func TestApply_Update(t *testing.T) {
	namespace := newNamespace(t)
	if _, err := applyAs(t, namespace, "owner", false, appliedSpec); err != nil {
		t.Fatal(err)
	}
	profile := getProfile(t, namespace, "whale")
	profile.Status.Version.Kubernetes = "v1.37.2"
	profile.Spec.DisplayName = "not by a status update"
	profile.Labels["not"] = "either"
	profile, err := profilesIn(t, namespace).UpdateStatus(t.Context(), profile, metav1.UpdateOptions{FieldManager: "reporter"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"owner Apply": "metadata spec", "reporter Update status": "status"}
	if diff := cmp.Diff(want, ownedFields(t, profile)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// Apply of a field of another manager is a conflict, unless forced.
func TestApply_Conflict(t *testing.T) {
	namespace := newNamespace(t)
	if _, err := applyAs(t, namespace, "first", false, appliedSpec); err != nil {
		t.Fatal(err)
	}
	if _, err := applyAs(t, namespace, "first", false, appliedStatus, "status"); err != nil {
		t.Fatal(err)
	}
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
			if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), test.field) || !strings.Contains(err.Error(), `"first"`) {
				t.Errorf("got %v, want 409 that names the field and its owner", err)
			}
			profile, err := applyAs(t, namespace, "second", true, test.content, test.subresource...)
			if err != nil {
				t.Fatal(err)
			}
			if got := test.value(profile); got != "Second" {
				t.Errorf("forced, it is %q", got)
			}
		})
	}
}

// Apply merges lists by their keys.
func TestApply_Lists(t *testing.T) {
	namespace := newNamespace(t)
	createProfile(t, namespace, newProfile("whale", "apply"))
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
		if _, err := applyAs(t, namespace, manager, false, content, "status"); err != nil {
			t.Fatalf("%s: %v", manager, err)
		}
	}
	expectKeys(t, getProfile(t, namespace, "whale"), "ControlPlaneHealthy Joined", "cost region", "kubeconfig oidc")

	_, err := applyAs(t, namespace, "joiner", false, parts["joiner"]+"  version: {kubernetes: v1}\n", "status")
	if err != nil {
		t.Fatal(err)
	}
	_, err = applyAs(t, namespace, "joiner", false, parts["health"], "status")
	if err != nil {
		t.Fatalf("two managers that agree on a value: %v", err)
	}
	profile := getProfile(t, namespace, "whale")
	expectKeys(t, profile, "ControlPlaneHealthy", "region", "kubeconfig")
	if profile.Status.Version.Kubernetes != "" {
		t.Error("a field that its only manager applies no longer is still there")
	}
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
	if diff := cmp.Diff(want, [3]string{sorted(got[0]), sorted(got[1]), sorted(got[2])}); diff != "" {
		t.Errorf("conditions, properties and access providers (-want +got):\n%s", diff)
	}
}

func TestApply_Kubectl(t *testing.T) {
	namespace, hub := newNamespace(t), shared.Hub.Kubeconfig()
	manifest := "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\nmetadata: {name: whale}\n"
	run := func(input string, args ...string) (string, error) {
		return testenv.Kubectl(t.Context(), hub, input, append([]string{"-n", namespace}, args...)...)
	}

	t.Run("server-side, and a conflict that --force-conflicts takes over", func(t *testing.T) {
		if _, err := run(manifest+"spec: {displayName: one, clusterManager: {name: apply}}", "apply", "--server-side", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		second := manifest + "spec: {displayName: two, clusterManager: {name: apply}}"
		if _, err := run(second, "apply", "--server-side", "--field-manager=second", "-f", "-"); err == nil || !strings.Contains(err.Error(), ".spec.displayName") {
			t.Errorf("got %v, want a conflict on .spec.displayName", err)
		}
		if _, err := run(second, "apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-"); err != nil {
			t.Error(err)
		}
		if got := getProfile(t, namespace, "whale").Spec.DisplayName; got != "two" {
			t.Errorf("displayName is %q", got)
		}
	})
	t.Run("client-side, with a field that goes", func(t *testing.T) {
		shark := strings.Replace(manifest, "whale", "shark", 1)
		if _, err := run(shark+"spec: {displayName: one, clusterManager: {name: apply}}", "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		if _, err := run(shark+"spec: {clusterManager: {name: apply}}", "apply", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		if got := getProfile(t, namespace, "shark").Spec.DisplayName; got != "" {
			t.Errorf("displayName is %q, want none", got)
		}
	})
	t.Run("edit", func(t *testing.T) {
		t.Setenv("KUBE_EDITOR", `sed -i s/displayName:.*/displayName:\ edited/`)
		if _, err := run("", "edit", "clusterprofile", "whale"); err != nil {
			t.Fatal(err)
		}
		if got := getProfile(t, namespace, "whale").Spec.DisplayName; got != "edited" {
			t.Errorf("displayName is %q", got)
		}
	})
	t.Run("the status through its subresource", func(t *testing.T) {
		status := manifest + "status: {version: {kubernetes: v1.37.2}}"
		if _, err := run(status, "apply", "--server-side", "--subresource=status", "--field-manager=reporter", "-f", "-"); err != nil {
			t.Fatal(err)
		}
		if got := getProfile(t, namespace, "whale").Status.Version.Kubernetes; got != "v1.37.2" {
			t.Errorf("version is %q", got)
		}
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
		"JSON":                                 {types.JSONPatchType, `[{"op":"test","path":"/spec/displayName","value":"old"},{"op":"replace","path":"/spec/displayName","value":"new"}]`, nil, displayName, "new", nil},
		"JSON whose test fails":                {types.JSONPatchType, `[{"op":"test","path":"/spec/displayName","value":"other"}]`, nil, displayName, "old", apierrors.IsInvalid},
		"merge":                                {types.MergePatchType, `{"spec":{"displayName":"new"}}`, nil, displayName, "new", nil},
		"merge that removes":                   {types.MergePatchType, `{"spec":{"displayName":null}}`, nil, displayName, "", nil},
		"merge of the immutable":               {types.MergePatchType, `{"spec":{"clusterManager":{"name":"other"}}}`, nil, displayName, "old", apierrors.IsInvalid},
		"merge of an old resourceVersion":      {types.MergePatchType, `{"metadata":{"resourceVersion":"1"},"spec":{"displayName":"new"}}`, nil, displayName, "old", apierrors.IsConflict},
		"merge of the status":                  {types.MergePatchType, `{"status":{"conditions":` + conditions + `},"spec":{"displayName":"new"}}`, []string{"status"}, func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Conditions[0].Type + displayName(p) }, "Aold", nil},
		"JSON of the status":                   {types.JSONPatchType, `[{"op":"add","path":"/status/conditions","value":` + conditions + `}]`, []string{"status"}, func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Conditions[0].Type }, "A", nil},
		"merge of the status, past the status": {types.MergePatchType, `{"status":{"version":{"kubernetes":"v1"}}}`, nil, func(p *inventoryv1alpha1.ClusterProfile) string { return p.Status.Version.Kubernetes }, "", nil},
		"not a patch":                          {types.MergePatchType, `[]`, nil, displayName, "old", apierrors.IsBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			profile := newProfile("", "patch")
			profile.GenerateName, profile.Spec.DisplayName = "patched-", "old"
			profile = createProfile(t, namespace, profile)
			_, err := profilesIn(t, namespace).Patch(t.Context(), profile.Name, test.kind, []byte(test.patch), metav1.PatchOptions{}, test.subresource...)
			if test.is == nil && err != nil || test.is != nil && !test.is(err) {
				t.Errorf("got %v", err)
			}
			if got := test.value(getProfile(t, namespace, profile.Name)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// An unknown field is dropped with a warning, or refused.
func TestInventory_UnknownField(t *testing.T) {
	namespace := newNamespace(t)
	client := dyn(t, shared.Hub.RESTConfig()).Resource(profilesResource).Namespace(namespace)
	profile := &unstructured.Unstructured{}
	content := "apiVersion: multicluster.x-k8s.io/v1alpha1\nkind: ClusterProfile\nmetadata: {name: typo}\nspec: {clusterManager: {name: m}, displayname: small}\n"
	if err := yaml.Unmarshal([]byte(content), profile); err != nil {
		t.Fatal(err)
	}
	_, err := client.Create(t.Context(), profile, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `unknown field "spec.displayname"`) {
		t.Errorf("strict: got %v, want 400 that names the field", err)
	}
	created := testenv.Must[*unstructured.Unstructured](t)(client.Create(t.Context(), profile, metav1.CreateOptions{FieldValidation: metav1.FieldValidationIgnore}))
	if _, found, _ := unstructured.NestedString(created.Object, "spec", "displayname"); found {
		t.Error("an unknown field was stored")
	}
}
