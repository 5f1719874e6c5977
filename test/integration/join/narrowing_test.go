// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// granted has bravelion give a token of an account in namespace team-a, and returns the grant.
func granted(t *testing.T, account, role string) *clusterpassv1alpha1.AuthTokenGrant {
	t.Helper()
	request := tokenRequest("bravelion", "team-a", account, role)
	var name string
	testenv.Eventually(t, func(ctx context.Context) (err error) {
		name, err = testenv.Kubectl(ctx, shared.kubeconfig, request, "create", "-f", "-", "-o", "jsonpath={.status.grantName}")
		return err
	})
	return testenv.Get(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default"), name)
}

// accountGone returns nil where team-a of bravelion has no such ServiceAccount.
func accountGone(t *testing.T, name string) error {
	t.Helper()
	return gone(t.Context(), shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("team-a"), name)
}

func TestJoin_NarrowsNoGrant(t *testing.T) {
	join := []string{"join", "bravelion", "--member-context=bravelion", "--wait=false"}
	wide := append(join, "--allow-cluster-roles=view,edit", "--allow-namespaces=default,team-a")
	joined(t, "bravelion", "--allow-cluster-roles=view,edit", "--allow-namespaces=default,team-a")
	g := granted(t, "narrowed", "edit")

	for name, test := range map[string]struct{ args, lacks string }{
		"of a namespace":     {"--allow-cluster-roles=view,edit --allow-namespaces=default", "(namespace team-a)"},
		"of a ClusterRole":   {"--allow-cluster-roles=view --allow-namespaces=default,team-a", "(ClusterRole edit)"},
		"in a dry run":       {"--dry-run", "(ClusterRole edit, namespace team-a)"},
		"by what is default": {"", "(ClusterRole edit, namespace team-a)"},
	} {
		t.Run(name, func(t *testing.T) {
			before := snapshots(t, shared.Bravelion)
			_, err := clusterpass(t.Context(), append(join, strings.Fields(test.args)...)...)
			require.ErrorContains(t, err, "hub: grants need what would no longer be allowed: default/"+g.Name+" "+test.lacks)
			require.ErrorContains(t, err, "--revoke-grants")
			require.ErrorContains(t, err, "Nothing was changed on either cluster")
			assert.Equal(t, before, snapshots(t, shared.Bravelion))
		})
	}
	t.Run("and what is still allowed is no matter", func(t *testing.T) { mustClusterpass(t, wide...) })
	t.Run("but where the grants are to be revoked", func(t *testing.T) {
		mustClusterpass(t, append(join, "--revoke-grants", longTimeout)...)
		require.NoError(t, accountGone(t, "narrowed"))
		require.NoError(t, gone(t.Context(), shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default"), g.Name))
		require.NoError(t, gone(t.Context(), shared.Bravelion.Kube(t).RbacV1().RoleBindings("team-a"), "clusterpass"))
	})
}

// TestUnjoin_MemberThatWasNarrowed is about a member that no longer allows the hub to revoke.
func TestUnjoin_MemberThatWasNarrowed(t *testing.T) {
	joined(t, "bravelion", "--allow-namespaces=default,team-a")
	g := granted(t, "stuck", "view")
	require.NoError(t, shared.Bravelion.Kube(t).RbacV1().RoleBindings("team-a").Delete(t.Context(), "clusterpass", metav1.DeleteOptions{}))
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := clusterpass(ctx, "unjoin", "bravelion", "--timeout=3s")
		require.ErrorContains(t, err, "not revoked within 3s: default/"+g.Name)
		if !strings.Contains(err.Error(), "run the command again with --member-context") {
			return err
		}
		return nil
	})
	require.Error(t, accountGone(t, "stuck"))

	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", "--dry-run=server")
	assert.Contains(t, out, "member: deleted what authtokengrant.clusterpass.dev/"+g.Name+" in default owns (server dry run)\n")
	_, err := shared.Bravelion.Kube(t).CoreV1().Secrets("team-a").Get(t.Context(), grant.SecretName(g.UID), metav1.GetOptions{})
	require.NoError(t, err, "a dry run has ended tokens")

	// The ClusterProfile and its Secret do not tell which member it is, and the grant does.
	forget := `{"metadata":{"annotations":{"` + member.MemberUIDAnnotation + `":null}}}`
	testenv.Patch(t, shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), "member-default-bravelion", forget)
	testenv.Patch(t, clusterProfiles(t), "bravelion", forget)
	_, err = clusterpass(t.Context(), "unjoin", "bravelion", "--member-context=smartfish", "--timeout=3s")
	require.ErrorContains(t, err,
		"authtokengrant default/"+g.Name+" is on another cluster: the UID of the namespace kube-system there is "+string(g.Status.MemberUID))
	require.Error(t, accountGone(t, "stuck"))

	// Nor does a grant of an earlier release: another member has nothing of it, which is no sign that
	// it is revoked.
	forget = `{"status":{"memberUID":null}}`
	testenv.Patch(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default"), g.Name, forget, "status")
	_, err = clusterpass(t.Context(), "unjoin", "bravelion", "--member-context=smartfish", "--timeout=3s")
	require.ErrorContains(t, err, "nothing shows that it is the cluster of authtokengrant default/"+g.Name)
	require.Error(t, accountGone(t, "stuck"))

	out = mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", longTimeout)
	assert.Contains(t, out, "member: deleted what authtokengrant.clusterpass.dev/"+g.Name+" in default owns\n")
	require.NoError(t, accountGone(t, "stuck"))
}
