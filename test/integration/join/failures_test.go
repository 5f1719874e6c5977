// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// as returns the path of a kubeconfig for a user of a cluster who has rules there, cluster-wide.
func as(t *testing.T, cluster *testenv.Cluster, user string, rules ...rbacv1.PolicyRule) string {
	t.Helper()
	client := cluster.Kube(t)
	rbac := client.RbacV1()
	testenv.Grant(t, client, "", user, testenv.UserSubject(user), rules...)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		require.NoError(t, rbac.ClusterRoleBindings().Delete(ctx, user, metav1.DeleteOptions{}))
		require.NoError(t, rbac.ClusterRoles().Delete(ctx, user, metav1.DeleteOptions{}))
	})
	path := filepath.Join(t.TempDir(), user)
	require.NoError(t, os.WriteFile(path, testenv.Must[[]byte](t)(cluster.ClientCertKubeconfig(user)), 0o600))
	return path
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

var reader = rule("*", "*", "get", "list")

// The error for a user without a right names it.
func TestJoin_Forbidden(t *testing.T) {
	join := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}

	t.Run("and where the documentation lists all", func(t *testing.T) {
		user := as(t, shared.Hub, "nobody")
		out, err := clusterpass(t.Context(), "unjoin", "bravelion", "--kubeconfig="+user)
		require.ErrorContains(t, err, "docs/members.md says which rights join and unjoin take", out)
	})
	t.Run("that nothing was done where the member forbids the first step", func(t *testing.T) {
		before := snapshots(t, shared.Bravelion)
		user := as(t, shared.Bravelion, "reader", reader)
		out, err := clusterpass(t.Context(), append(join, "--member-kubeconfig="+user)...)
		require.ErrorContains(t, err, "member: could not apply namespace/clusterpass-system", out)
		require.ErrorContains(t, err, "Nothing was changed on either cluster")
		removeUser(before[1], "reader")
		after := snapshots(t, shared.Bravelion)
		removeUser(after[1], "reader")
		assert.Equal(t, before, after)
	})
	t.Run("what was done where the hub forbids the Secret", func(t *testing.T) {
		user := as(t, shared.Hub, "no-secrets", reader, rule("multicluster.x-k8s.io", "*", "*"))
		t.Cleanup(func() {
			_, err := clusterpass(context.WithoutCancel(t.Context()), "unjoin", "bravelion", "--member-context=bravelion")
			require.NoError(t, err)
		})
		out, err := clusterpass(t.Context(), append(join, "--kubeconfig="+user, "--member-kubeconfig="+shared.Bravelion.Kubeconfig())...)
		require.ErrorContains(t, err, "hub: could not apply secret/member-default-bravelion in clusterpass-system")
		require.ErrorContains(t, err, "What is listed above as created or configured is done")
		assert.Contains(t, out, "member: created clusterrolebinding.rbac.authorization.k8s.io/clusterpass\n")
		assert.NotContains(t, out+err.Error(), "eyJ", "a token was printed")
		assert.NotContains(t, out, "hub: created")

		out = mustClusterpass(t, join...)
		assert.Contains(t, out, "member: serviceaccount/clusterpass in clusterpass-system unchanged\n")
		assert.Contains(t, out, "hub: created secret/member-default-bravelion in clusterpass-system\n")
	})
	t.Run("that an account of that name is not clusterpass's", func(t *testing.T) {
		waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
		joined(t, "bravelion")
		relabel(t, `{"metadata":{"labels":{"clusterpass.dev/joined-by":"another-hub"}}}`)
		before := snapshots(t, shared.Bravelion)
		_, err := clusterpass(t.Context(), join...)
		require.ErrorContains(t, err, "belongs to another hub")
		assert.Equal(t, before, snapshots(t, shared.Bravelion))
		relabel(t, `{"metadata":{"labels":{"clusterpass.dev/joined-by":null,"app.kubernetes.io/part-of":"other"}}}`)
		_, err = clusterpass(t.Context(), join...)
		require.ErrorContains(t, err, "exists and is not clusterpass's")
		relabel(t, `{"metadata":{"labels":{"app.kubernetes.io/part-of":"clusterpass"}}}`)
		mustClusterpass(t, join...) // one of the manifests is taken over
	})
}

// relabel changes the labels of clusterpass's ServiceAccount on bravelion.
func relabel(t *testing.T, patch string) {
	t.Helper()
	testenv.Patch(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("clusterpass-system"), "clusterpass", patch)
}

// removeUser takes out of a snapshot what as has made.
func removeUser(all map[string]string, user string) {
	delete(all, "clusterroles /"+user)
	delete(all, "clusterrolebindings /"+user)
}

func TestJoin_WaitsForHealth(t *testing.T) {
	joined(t, "bravelion")
	join := []string{"join", "bravelion", "--member-context=bravelion"}
	_, err := clusterpass(t.Context(), append(join, "--timeout=1s")...)
	require.ErrorContains(t, err, "is joined, but its condition ControlPlaneHealthy was not True within 1s: no controller has set it yet")

	profiles := clusterProfiles(t)
	for _, status := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionTrue} {
		profile := testenv.Get(t, profiles, "bravelion")
		apimeta.SetStatusCondition(&profile.Status.Conditions, metav1.Condition{
			Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: status, Reason: "Tried", Message: "by a test",
		})
		testenv.UpdateStatus(t, profiles, profile)
		_, err = clusterpass(t.Context(), append(join, "--timeout=1s")...)
		if status == metav1.ConditionFalse {
			require.ErrorContains(t, err, "it is False (Tried): by a test")
			continue
		}
		require.NoError(t, err)
	}
}

// Join returns when the controller manager finds the member healthy.
func TestJoin_HealthyMember(t *testing.T) {
	joined(t, "smartfish", "--cluster-manager="+tendedBy, "--wait", longTimeout)
	profile := testenv.Get(t, clusterProfiles(t), "smartfish")
	assert.True(t, apimeta.IsStatusConditionTrue(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy))
	assert.NotEmpty(t, profile.Status.Version.Kubernetes)
}
