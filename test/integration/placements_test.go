// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	applyv1alpha1 "clusterpass.dev/pkg/generated/applyconfiguration/clusterpass/v1alpha1"
	clusterpassclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// placementsAs returns a client of a user whom the built-in role is bound to in namespace; without
// a role, of the admin.
func placementsAs(t *testing.T, namespace, user, role string) clusterpassclient.PlacementInterface {
	t.Helper()
	config := shared.Hub.RESTConfig()
	if role != "" {
		testenv.Bind(t, testenv.Kube(t, config), namespace, user, testenv.UserSubject(user), role)
		config = shared.Hub.User(t, user)
	}
	return testenv.Clusterpass(t, config).ClusterpassV1alpha1().Placements(namespace)
}

func newPlacement(name string) *clusterpassv1alpha1.Placement {
	return &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// A Placement of OCM moves over by its version.
func TestPlacement_OfOCM(t *testing.T) {
	namespace, hub := newNamespace(t), shared.Hub.Kubeconfig()
	content := string(testenv.Must[[]byte](t)(os.ReadFile(filepath.Join("testdata", "ocm-placement.yaml"))))
	moved := strings.Replace(content, "cluster.open-cluster-management.io/v1beta1", "clusterpass.dev/v1alpha1", 1)
	testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, moved, "create", "--validate=strict", "-n", namespace, "-f", "-"))
	testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, moved, "apply", "--server-side", "--force-conflicts", "--validate=strict",
		"-n", namespace, "-f", "-"))

	placement := testenv.Get(t, placementsAs(t, namespace, "", ""), "from-ocm")
	assert.EqualValues(t, 1, placement.Generation, "to apply what is there")
	var weights []int32
	for _, config := range placement.Spec.PrioritizerPolicy.Configurations {
		weights = append(weights, ptr.Deref(config.Weight, -99))
	}
	assert.Equal(t, []int32{3, 1, 0, -10}, weights)
	assert.Equal(t, clusterpassv1alpha1.MissingScoreLast, placement.Spec.MissingScore)
	second := placement.Spec.SpreadPolicy.SpreadConstraints[1]
	assert.EqualValues(t, 1, ptr.Deref(second.MaxSkew, 0))
	assert.Equal(t, clusterpassv1alpha1.ScheduleAnyway, second.WhenUnsatisfiable)
}

// The author of a Placement is whoever changed its spec.
func TestPlacement_Author(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	first, second := placementsAs(t, namespace, "placement-first", "edit"), placementsAs(t, namespace, "placement-second", "edit")
	expect := func(t *testing.T, placement *clusterpassv1alpha1.Placement, author string, generation int64) {
		t.Helper()
		require.NotNil(t, placement.Spec.Author)
		assert.Equal(t, author, placement.Spec.Author.Username)
		assert.Equal(t, generation, placement.Generation)
	}
	forged := newPlacement("authored")
	forged.Spec.Author = &clusterpassv1alpha1.Author{Requester: clusterpassv1alpha1.Requester{Username: "admin",
		Groups: []string{"system:masters"}}}
	created := testenv.Create(t, first, forged)
	expect(t, created, "placement-first", 1)

	patch := func(t *testing.T, client clusterpassclient.PlacementInterface, body string, dryRun ...string) *clusterpassv1alpha1.Placement {
		t.Helper()
		return testenv.Must[*clusterpassv1alpha1.Placement](t)(client.Patch(ctx, "authored", types.MergePatchType, []byte(body),
			metav1.PatchOptions{DryRun: dryRun}))
	}
	expect(t, patch(t, second, `{"metadata":{"labels":{"a":"b"}}}`), "placement-first", 1)
	expect(t, patch(t, second, `{"spec":{"author":{"username":"placement-second"}}}`), "placement-first", 1)
	for _, kind := range []types.PatchType{types.MergePatchType, types.JSONPatchType} {
		body := map[types.PatchType]string{
			types.MergePatchType: `{"spec":{"numberOfClusters":2}}`,
			types.JSONPatchType:  `[{"op":"add","path":"/spec/numberOfClusters","value":2}]`,
		}[kind]
		_, err := second.Patch(ctx, "authored", kind, []byte(body), metav1.PatchOptions{})
		assert.True(t, apierrors.IsInvalid(err), "a %s of the spec by another user: %v", kind, err)
		assert.ErrorContains(t, err, `spec: Forbidden: its author is user "placement-first", and a patch would put`)
	}
	whole := testenv.Get(t, second, "authored")
	whole.Spec.NumberOfClusters, whole.Status.NumberOfSelectedClusters = ptr.To(int32(2)), 7
	expect(t, testenv.Must[*clusterpassv1alpha1.Placement](t)(second.Update(ctx, whole,
		metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})), "placement-second", 2)
	stored := testenv.Get(t, first, "authored")
	expect(t, stored, "placement-first", 1)
	stored = testenv.Update(t, second, whole)
	expect(t, stored, "placement-second", 2)
	expect(t, patch(t, second, `{"spec":{"numberOfClusters":3}}`), "placement-second", 3)
	assert.Zero(t, stored.Status.NumberOfSelectedClusters, "written through the main resource")
	for _, entry := range stored.ManagedFields {
		assert.NotContains(t, string(entry.FieldsV1.GetRawBytes()), "f:author", entry.Manager)
	}
}

// TestPlacement_AppliedByTwo has an editor slip a field into what somebody else applies again and
// again.
func TestPlacement_AppliedByTwo(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	boss, editor := placementsAs(t, namespace, "placement-boss", "edit"), placementsAs(t, namespace, "placement-slip", "edit")
	apply := func(client clusterpassclient.PlacementInterface, spec string, force bool) (*clusterpassv1alpha1.Placement, error) {
		body := `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"Placement","metadata":{"name":"shared"},"spec":` + spec + `}`
		return client.Patch(ctx, "shared", types.ApplyPatchType, []byte(body),
			metav1.PatchOptions{FieldManager: fmt.Sprintf("%p", client), Force: &force})
	}
	testenv.Must[*clusterpassv1alpha1.Placement](t)(apply(boss, `{"numberOfClusters":1}`, false))
	_, err := apply(editor, `{"clusterSets":["prod"]}`, false)
	assert.True(t, apierrors.IsConflict(err), "a field beside those of another's spec: %v", err)
	slipped := testenv.Must[*clusterpassv1alpha1.Placement](t)(apply(editor, `{"clusterSets":["prod"]}`, true))
	assert.Equal(t, "placement-slip", slipped.Spec.Author.Username, "what is forced is the whole spec, and its sender's")
	assert.Nil(t, slipped.Spec.NumberOfClusters, "what is forced is the whole spec")
	_, err = apply(boss, `{"numberOfClusters":1}`, false)
	assert.True(t, apierrors.IsConflict(err), "applied again, beside another's spec: %v", err)
	again := testenv.Must[*clusterpassv1alpha1.Placement](t)(apply(boss, `{"numberOfClusters":1}`, true))
	assert.Equal(t, "placement-boss", again.Spec.Author.Username)
	assert.Empty(t, again.Spec.ClusterSets, "the author signs what it has not sent")
	extracted := testenv.Must[*applyv1alpha1.PlacementApplyConfiguration](t)(applyv1alpha1.ExtractPlacement(again, fmt.Sprintf("%p", boss)))
	require.NotNil(t, extracted.Spec)
	assert.EqualValues(t, 1, ptr.Deref(extracted.Spec.NumberOfClusters, 0))
}

// TestPlacement_AuthorKubectl has somebody with the role edit change, by plain kubectl, what a user
// with a certificate has applied: a part of the spec is refused, as its rest would be signed with
// it.
func TestPlacement_AuthorKubectl(t *testing.T) {
	namespace := newNamespace(t)
	kubeconfigOf := func(user string) string {
		testenv.Bind(t, shared.Hub.Kube(t), namespace, user, testenv.UserSubject(user), "edit")
		return kubeconfigFor(t, shared.Hub.User(t, user))
	}
	author, editor := kubeconfigOf("authors-kim"), kubeconfigOf("authors-sam")
	for kind, spec := range map[string]string{
		"ClusterCredentialSet": `{clusters: {namespace: default, names: [BEFORE]}, template: {clusterRoles: [{name: view}]}}`,
		"Placement":            `{predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {cluster: BEFORE}}}}]}`,
	} {
		t.Run(kind, func(t *testing.T) {
			object := func(value string) string {
				return fmt.Sprintf("{apiVersion: clusterpass.dev/v1alpha1, kind: %s, metadata: {name: shared, namespace: %s}, spec: %s}",
					kind, namespace, strings.ReplaceAll(spec, "BEFORE", value))
			}
			authorIs := func(want string) {
				t.Helper()
				assert.Equal(t, want,
					testenv.MustKubectl(t, author, "", "get", kind, "shared", "-n", namespace, "-o", "jsonpath={.spec.author.username}"))
			}
			testenv.MustKubectl(t, author, object("one"), "apply", "-f", "-")
			testenv.MustKubectl(t, author, object("two"), "apply", "-f", "-")
			t.Setenv("KUBE_EDITOR", "sed -i -e s/two/three/")
			testenv.MustKubectl(t, author, "", "edit", kind, "shared", "-n", namespace)
			authorIs("authors-kim")

			const refused, mends = `spec: Forbidden: its author is user "authors-kim", ` +
				`and a patch would put the fields that it leaves unchanged in your name`, "kubectl apply --server-side"
			_, err := testenv.Kubectl(t.Context(), editor, object("four"), "apply", "-f", "-")
			require.ErrorContains(t, err, refused)
			require.ErrorContains(t, err, mends)
			t.Setenv("KUBE_EDITOR", "sed -i -e s/three/four/")
			_, err = testenv.Kubectl(t.Context(), editor, "", "edit", kind, "shared", "-n", namespace)
			require.ErrorContains(t, err, "no valid changes were saved")
			_, copied, _ := strings.Cut(err.Error(), `stored to "`)
			copied, _, _ = strings.Cut(copied, `"`)
			reopened := testenv.Must[[]byte](t)(os.ReadFile(copied))
			require.NoError(t, os.Remove(copied))
			assert.Contains(t, string(reopened), "# * "+refused, "the editor opens again, and says why")
			_, err = testenv.Kubectl(t.Context(), editor, "", "patch", kind, "shared", "-n", namespace, "--type=merge",
				`--patch={"spec":{"clusters":{"names":["four"]},"clusterSets":["four"]}}`)
			require.ErrorContains(t, err, refused)
			testenv.MustKubectl(t, editor, "", "label", kind, "shared", "-n", namespace, "a=b")
			authorIs("authors-kim")

			testenv.MustKubectl(t, editor, object("five"), "apply", "--server-side", "--force-conflicts", "-f", "-")
			authorIs("authors-sam")
			testenv.MustKubectl(t, author, object("six"), "replace", "-f", "-")
			authorIs("authors-kim")
		})
	}
}

// Who may write Placements.
func TestPlacement_RBAC(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	editor, viewer := placementsAs(t, namespace, "placement-editor", "edit"), placementsAs(t, namespace, "placement-viewer", "view")
	testenv.Create(t, editor, newPlacement("guarded"))
	testenv.Get(t, viewer, "guarded")
	status := []byte(`{"status":{"numberOfSelectedClusters":1}}`)
	_, createErr := viewer.Create(ctx, newPlacement("forged"), metav1.CreateOptions{})
	_, patchErr := viewer.Patch(ctx, "guarded", types.MergePatchType, []byte(`{"spec":{"numberOfClusters":1}}`), metav1.PatchOptions{})
	_, viewerErr := viewer.Patch(ctx, "guarded", types.MergePatchType, status, metav1.PatchOptions{}, "status")
	_, editorErr := editor.Patch(ctx, "guarded", types.MergePatchType, status, metav1.PatchOptions{}, "status")
	for verb, err := range map[string]error{
		"create by a viewer": createErr, "patch by a viewer": patchErr,
		"delete by a viewer":              viewer.Delete(ctx, "guarded", metav1.DeleteOptions{}),
		"patch of the status by a viewer": viewerErr, "patch of the status by an editor": editorErr,
	} {
		assert.True(t, apierrors.IsForbidden(err), "%s: %v", verb, err)
	}
	assert.NoError(t, editor.Delete(ctx, "guarded", metav1.DeleteOptions{}))
}

// Errors in a Placement name the field.
func TestPlacement_Invalid(t *testing.T) {
	placement := newPlacement("wrong")
	placement.Spec = clusterpassv1alpha1.PlacementSpec{
		ClusterSets:      []string{"not a set"},
		NumberOfClusters: ptr.To(int32(-1)),
		Predicates: []clusterpassv1alpha1.ClusterPredicate{{RequiredClusterSelector: clusterpassv1alpha1.ClusterSelector{
			CelSelector: clusterpassv1alpha1.ClusterCelSelector{CelExpressions: []string{"clusterProfile.("}},
		}}},
		Tolerations: []clusterpassv1alpha1.ClusterToleration{{Key: "gpu", Effect: "NoSchedule"}},
	}
	_, err := placementsAs(t, newNamespace(t), "", "").Create(t.Context(), placement, metav1.CreateOptions{})
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	for _, field := range []string{
		"spec.clusterSets[0]", "spec.numberOfClusters", "spec.predicates[0].requiredClusterSelector.celSelector.celExpressions[0]",
		"spec.tolerations[0].effect",
	} {
		assert.ErrorContains(t, err, field+": ")
	}
}

func TestClusterProfile_InvalidTaints(t *testing.T) {
	profile := testenv.NewProfile("tainted", "taints")
	profile.Annotations = map[string]string{clusterpassv1alpha1.AnnotationTaints: `[{"key":"gpu","effect":"NoSchedule"}]`}
	_, err := profilesIn(t, newNamespace(t)).Create(t.Context(), profile, metav1.CreateOptions{})
	assert.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "metadata.annotations[clusterpass.dev/taints]")
}

// Kubectl shows and explains Placements.
func TestPlacement_Kubectl(t *testing.T) {
	ctx, namespace, hub := t.Context(), newNamespace(t), shared.Hub.Kubeconfig()
	client := placementsAs(t, namespace, "", "")
	placement := testenv.Must[*clusterpassv1alpha1.Placement](t)(client.Create(ctx, newPlacement("shown"), metav1.CreateOptions{}))
	placement.Status = clusterpassv1alpha1.PlacementStatus{
		NumberOfSelectedClusters: 2, NumberOfEligibleClusters: 3, NumberOfCandidateClusters: 4,
		Conditions: []metav1.Condition{condition(clusterpassv1alpha1.PlacementSatisfied, metav1.ConditionTrue)},
	}
	testenv.Must[*clusterpassv1alpha1.Placement](t)(client.UpdateStatus(ctx, placement, metav1.UpdateOptions{}))
	out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, "", "get", "pl", "-n", namespace))
	assert.Equal(t, []string{"NAME SUCCEEDED SELECTED ELIGIBLE AGE", "shown True 2 3 *"}, rows(out))
	for field, want := range map[string]string{
		"spec.clusterSets":                            "multicluster.x-k8s.io/clusterset",
		"spec.prioritizerPolicy.configurations":       "scoreCoordinate",
		"spec.predicates.requiredClusterSelector":     "claimSelector",
		"spec.spreadPolicy.spreadConstraints.maxSkew": "at least 1",
		"spec.author": "The server sets it",
	} {
		out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, "", "explain", "placements."+field))
		assert.Contains(t, strings.Join(strings.Fields(out), " "), want, field)
	}
}
