// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// Deleting a namespace deletes the inventory in it.
func TestInventory_NamespaceDeleted(t *testing.T) {
	ctx, namespace, other := t.Context(), newNamespace(t), newNamespace(t)
	admin := shared.Hub.Kube(t)
	held := testenv.NewProfile("held", "lifecycle")
	held.Finalizers = []string{"example.com/hold"}
	held = createProfile(t, namespace, held)
	createProfile(t, namespace, testenv.NewProfile("free", "lifecycle"))
	createProfile(t, other, testenv.NewProfile("free", "lifecycle"))
	testenv.Must[*inventoryv1alpha1.PlacementDecision](t)(decisionsIn(t, namespace).Create(ctx, newDecision("slice", "free"),
		metav1.CreateOptions{}))
	require.NoError(t, admin.CoreV1().Namespaces().Delete(ctx, namespace, metav1.DeleteOptions{}))

	testenv.Eventually(t, func(ctx context.Context) error {
		found, err := profilesIn(t, namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		decisions, err := decisionsIn(t, namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if left := append(names(t, found), names(t, decisions)...); len(left) != 1 || found.Items[0].DeletionTimestamp == nil {
			return fmt.Errorf("left are %v, want the one with a finalizer", left)
		}
		return nil
	})
	t.Run("and nothing new is taken while it terminates", func(t *testing.T) {
		_, err := profilesIn(t, namespace).Create(ctx, testenv.NewProfile("late", "lifecycle"), metav1.CreateOptions{})
		assert.True(t, apierrors.IsForbidden(err) && apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), "%v", err)
	})
	t.Run("and the namespace goes with the last finalizer", func(t *testing.T) {
		held = getProfile(t, namespace, "held")
		held.Finalizers = nil
		testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(profilesIn(t, namespace).Update(ctx, held, metav1.UpdateOptions{}))
		testenv.AwaitGone(t, admin.CoreV1().Namespaces(), namespace)
	})
	assert.Len(t, names(t, list(t, other, metav1.ListOptions{})), 1)
}

func TestInventory_NoSuchNamespace(t *testing.T) {
	_, err := profilesIn(t, "no-such-namespace").Create(t.Context(), testenv.NewProfile("lost", "lifecycle"), metav1.CreateOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	assert.ErrorContains(t, err, `"no-such-namespace"`)
}

// Owned objects go with their owner.
func TestInventory_GarbageCollection(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	configMaps := shared.Hub.Kube(t).CoreV1().ConfigMaps(namespace)
	owner := createProfile(t, namespace, testenv.NewProfile("owner", "lifecycle"))
	owned := []metav1.OwnerReference{*metav1.NewControllerRef(owner, inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile"))}
	decision := newDecision("owned", "owner")
	decision.OwnerReferences = owned
	testenv.Create(t, decisionsIn(t, namespace), decision)
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: owned}}
	testenv.Create(t, configMaps, configMap)

	foreground := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "owner", foreground))
	testenv.Eventually(t, func(ctx context.Context) error {
		_, decisionErr := decisionsIn(t, namespace).Get(ctx, "owned", metav1.GetOptions{})
		_, configMapErr := configMaps.Get(ctx, "owned", metav1.GetOptions{})
		_, ownerErr := profilesIn(t, namespace).Get(ctx, "owner", metav1.GetOptions{})
		for what, err := range map[string]error{"PlacementDecision": decisionErr, "ConfigMap": configMapErr, "owner": ownerErr} {
			if !apierrors.IsNotFound(err) {
				return errors.Join(fmt.Errorf("the %s is still there", what), err)
			}
		}
		return nil
	})
}

func TestInventory_MutatingAdmissionPolicy(t *testing.T) {
	namespace := newNamespace(t)
	policies := shared.Hub.Kube(t).AdmissionregistrationV1()
	const name = "names-for-people"
	rule := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{APIGroups: []string{multicluster}, APIVersions: []string{"v1alpha1"},
			Resources: []string{"clusterprofiles"}},
	}
	testenv.Create(t, policies.MutatingAdmissionPolicies(), &admissionregistrationv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionregistrationv1.Fail),
			ReinvocationPolicy: admissionregistrationv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
				ResourceRules:     []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: rule}},
			},
			Mutations: []admissionregistrationv1.Mutation{{
				PatchType: admissionregistrationv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionregistrationv1.ApplyConfiguration{
					Expression: `Object{spec: Object.spec{displayName: "Cluster " + object.metadata.name}}`,
				},
			}},
		},
	})
	testenv.Create(t, policies.MutatingAdmissionPolicyBindings(), &admissionregistrationv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       admissionregistrationv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	})
	t.Cleanup(func() {
		// Not t.Context(): it has ended by now.
		assert.NoError(t, policies.MutatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{}))
		assert.NoError(t, policies.MutatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{}))
	})

	testenv.Eventually(t, func(ctx context.Context) error {
		created, err := profilesIn(t, namespace).Create(ctx, testenv.NewProfile("whale", "admission"),
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil || created.Spec.DisplayName != "Cluster whale" {
			return errors.Join(fmt.Errorf("displayName is %q", created.Spec.DisplayName), err)
		}
		return nil
	})
	assert.Equal(t, "Cluster shark", createProfile(t, namespace, testenv.NewProfile("shark", "admission")).Spec.DisplayName)
}
