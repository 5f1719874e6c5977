// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// expectDecisionWriters has mallory, who may write PlacementDecisions, try to do so in the name of
// the controller manager, under the policy that is deployed.
func expectDecisionWriters(t *testing.T) {
	t.Helper()
	const writer, controller, mallory = v1alpha1.AnnotationDecisionWriter, v1alpha1.ControllerManagerUser, "mallory"
	policy := filepath.Join("..", "..", "..", "artifacts", "deploy", "components", "external-inventory", "decision-writers.yaml")
	testenv.MustKubectl(t, hub.Kubeconfig(), "", "apply", "-f", policy)
	defer testenv.MustKubectl(t, hub.Kubeconfig(), "", "delete", "-f", policy)
	decisionsOf := func(name, user string) inventoryclient.PlacementDecisionInterface {
		all := rbacv1.PolicyRule{APIGroups: []string{multicluster.Group}, Resources: []string{"placementdecisions"}, Verbs: []string{"*"}}
		grantTo(t, name, user, all)
		return testenv.Inventory(t, hub.User(t, user)).ApisV1alpha1().PlacementDecisions("default")
	}
	hostile, ours := decisionsOf("writes-hostile", mallory), decisionsOf("writes", controller)
	decision := func(name, says string) *inventoryv1alpha1.PlacementDecision {
		return &inventoryv1alpha1.PlacementDecision{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Annotations: map[string]string{writer: says}, Labels: map[string]string{inventoryv1alpha1.DecisionKeyLabel: "gpu"},
			},
			Decisions: []inventoryv1alpha1.ClusterDecision{{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "external"}}},
		}
	}
	// The hub follows RBAC, and its policies, by watching them.
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := hostile.Create(ctx, decision("forged", controller), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("mallory writes in the name of the controller manager")
		}
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "decision-writer") {
			return err
		}
		return nil
	})
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := ours.Create(ctx, decision("gpu", controller), metav1.CreateOptions{})
		return err
	})
	testenv.Create(t, hostile, decision("honest", mallory))

	type object = inventoryv1alpha1.PlacementDecision
	for name, test := range map[string]struct {
		change  func(d *object)
		refused bool
	}{
		"another cluster in that name":   {func(d *object) { d.Decisions[0].ClusterProfileRef.Name = "other" }, true},
		"another key in that name":       {func(d *object) { d.Labels[inventoryv1alpha1.DecisionKeyLabel] = "cpu" }, true},
		"another index in that name":     {func(d *object) { d.Labels[inventoryv1alpha1.DecisionIndexLabel] = "1" }, true},
		"another scheduler in that name": {func(d *object) { d.SchedulerName = "other" }, true},
		"the name of somebody else":      {func(d *object) { d.Annotations[writer] = "kim" }, true},
		"what is not decided":            {func(d *object) { d.Annotations["note"], d.Labels["team"] = "a", "b" }, false},
		"another cluster in her own name": {func(d *object) {
			d.Annotations[writer], d.Decisions[0].ClusterProfileRef.Name = mallory, "other"
		}, false},
		"another cluster in nobody's name":  {func(d *object) { d.Annotations, d.Decisions[0].ClusterProfileRef.Name = nil, "other" }, false},
		"her own name, and nothing besides": {func(d *object) { d.Annotations[writer] = mallory }, false},
	} {
		t.Run("mallory writes "+name, func(t *testing.T) {
			d := testenv.Get(t, hostile, "gpu")
			test.change(d)
			_, err := hostile.Update(t.Context(), d, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			if !test.refused {
				require.NoError(t, err)
				return
			}
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			require.ErrorContains(t, err, "who changes a PlacementDecision sets it to mallory, or removes it")
		})
	}
	t.Run("the garbage collector takes an owner away that leaves its dependents", func(t *testing.T) {
		configMaps := hub.Kube(t).CoreV1().ConfigMaps("default")
		owner := testenv.Create(t, configMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owns-decisions"}})
		own := func(name string, owner *corev1.ConfigMap) {
			owned := decision(name, controller)
			owned.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap"))}
			testenv.Create(t, ours, owned)
		}
		own("owned", owner)
		// The garbage collector watches a kind some time after its CustomResourceDefinition is there.
		// Once it has deleted the second decision, whose owner never was, it knows the first, too.
		own("dangling", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "never-was", UID: "5a1b6f0e-3c1d-4a55-8f5e-6f1d2c3b4a59"}})
		testenv.AwaitGone(t, ours, "dangling")
		orphan := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationOrphan)}
		require.NoError(t, configMaps.Delete(t.Context(), owner.Name, orphan))
		testenv.Await(t, ours, "owned", func(d *inventoryv1alpha1.PlacementDecision) error {
			if len(d.OwnerReferences) > 0 {
				return errors.New("it is owned still")
			}
			return nil
		})
	})
	t.Run("in the end it is the controller manager's again", func(t *testing.T) {
		d := testenv.Get(t, hostile, "gpu")
		d.Annotations[writer] = mallory
		d = testenv.Update(t, hostile, d)
		d.Annotations[writer] = controller
		testenv.Update(t, ours, d)
	})
	require.NoError(t, ours.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
}
