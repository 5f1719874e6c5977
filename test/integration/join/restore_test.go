// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// deleter is a typed client of what can be deleted.
type deleter interface {
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// TestJoin_CredentialOnly takes the command out of the condition, and runs it.
func TestJoin_CredentialOnly(t *testing.T) {
	allowed := []string{"--cluster-manager=" + tendedBy, "--allow-cluster-roles=view,edit", "--allow-namespaces=default,team-a"}
	joined(t, "bravelion", append(allowed, "--wait", longTimeout)...)
	admin := shared.Bravelion.Kube(t)
	names := slices.Sorted(maps.Keys(snapshot(t, shared.Bravelion)))

	for _, lost := range []struct {
		name, reason string
		client       deleter
		object       string
	}{
		{"the namespace", "Unauthorized", admin.CoreV1().Namespaces(), "clusterpass-system"},
		{"the ServiceAccount", "Unauthorized", admin.CoreV1().ServiceAccounts("clusterpass-system"), "clusterpass"},
		{"the Secret that tokens are bound to", "Unauthorized", admin.CoreV1().Secrets("clusterpass-system"), member.CredentialSecret},
		{"the ClusterRoleBinding", "RightsLost", admin.RbacV1().ClusterRoleBindings(), "clusterpass"},
		{"the ClusterRole", "RightsLost", admin.RbacV1().ClusterRoles(), "clusterpass"},
	} {
		t.Run(lost.name, func(t *testing.T) {
			// So that all is noted on the member again.
			mustClusterpass(t, append([]string{"join", "bravelion", "--member-context=bravelion", longTimeout}, allowed...)...)
			conditionAs(t, "Joined", "Accepted")
			require.NoError(t, lost.client.Delete(t.Context(), lost.object, metav1.DeleteOptions{}))
			if lost.name == "the namespace" {
				waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
			}
			condition := conditionAs(t, "Joined", lost.reason)
			assert.Equal(t, metav1.ConditionFalse, condition.Status)

			report, err := clusterpass(t.Context(), "doctor", "default/bravelion")
			require.Error(t, err)
			assert.Contains(t, report, "FAIL  access")

			_, command, found := strings.Cut(condition.Message, "Run: kubectl clusterpass ")
			require.True(t, found, condition.Message)
			mustClusterpass(t, append(strings.Fields(strings.ReplaceAll(command, "CONTEXT", "bravelion")), longTimeout)...)
			conditionAs(t, "Joined", "Accepted")
			assert.Equal(t, names, slices.Sorted(maps.Keys(snapshot(t, shared.Bravelion))))
			mustRequest(t, "bravelion", "restored", "edit")
			mustClusterpass(t, "revoke", "--all-namespaces", "--service-account=restored", longTimeout)
		})
	}
	t.Run("what an earlier release did not make", func(t *testing.T) {
		roles, bindings := admin.RbacV1().ClusterRoles(), admin.RbacV1().ClusterRoleBindings()
		main := testenv.Get(t, roles, "clusterpass")
		require.NoError(t, roles.Delete(t.Context(), "clusterpass:identity", metav1.DeleteOptions{}))
		require.NoError(t, bindings.Delete(t.Context(), "clusterpass:identity", metav1.DeleteOptions{}))
		_, err := request(t, "bravelion", "unidentified", "edit")
		require.NoError(t, err, "access by a Secret works without")
		mustClusterpass(t, "revoke", "--all-namespaces", "--service-account=unidentified", longTimeout)
		mustClusterpass(t, "join", "bravelion", "--namespace=default", "--credential-only", "--member-context=bravelion", longTimeout)
		assert.Equal(t, names, slices.Sorted(maps.Keys(snapshot(t, shared.Bravelion))))
		assert.Equal(t, main.ResourceVersion, testenv.Get(t, roles, "clusterpass").ResourceVersion, "what is allowed is left as it is")
	})
	t.Run("no note of what was allowed", func(t *testing.T) {
		require.NoError(t, admin.RbacV1().ClusterRoles().Delete(t.Context(), "clusterpass", metav1.DeleteOptions{}))
		require.NoError(t, admin.CoreV1().ServiceAccounts("clusterpass-system").Delete(t.Context(), "clusterpass", metav1.DeleteOptions{}))
		_, err := clusterpass(t.Context(), "join", "bravelion", "--member-context=bravelion", "--credential-only")
		require.ErrorContains(t, err, "kubectl clusterpass join bravelion --namespace=default --member-context=CONTEXT --allow-cluster-roles=")
		require.ErrorContains(t, err, "Nothing was changed on either cluster")
	})
}
