// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// Grants are listed and revoked.
func TestGrants(t *testing.T) {
	joined(t, "bravelion")
	answers := map[string]*v1alpha1.AuthTokenRequest{}
	for _, account := range []string{"one", "two", "three"} {
		answers[account] = mustRequest(t, "bravelion", account, "view")
	}
	one := answers["one"].Status.GrantName

	t.Run("in the server's columns", func(t *testing.T) {
		const columns = "NAME CLUSTER SERVICE ACCOUNT ROLES REQUESTER LAST ISSUED TOKENS END READY AGE"
		out := mustClusterpass(t, "grants", "bravelion", "-A")
		header, _, _ := strings.Cut(out, "\n")
		assert.Equal(t, strings.Fields("NAMESPACE "+columns), strings.Fields(header))
		assert.Equal(t, 4, strings.Count(out, "\n"), out)
		assert.Contains(t, out, "default     "+one)
		wide, _, _ := strings.Cut(mustClusterpass(t, "grants", "bravelion", "-o", "wide"), "\n")
		assert.Equal(t, strings.Fields(columns+" AUDIENCES REASON"), strings.Fields(wide))
	})
	t.Run("by cluster, account and requester", func(t *testing.T) {
		out := mustClusterpass(t, "grants", "default/bravelion", "--service-account=default/one", "--requester=admin", "-o", "name")
		assert.Equal(t, "authtokengrant.clusterpass.dev/"+one+"\n", out)
		assert.Equal(t, "No grants found\n", mustClusterpass(t, "grants", "smartfish"))
		assert.Equal(t, "No grants found\n", mustClusterpass(t, "grants", "--requester=alice"))
		assert.Contains(t, mustClusterpass(t, "grants", "--service-account=one", "-o", "jsonpath={.items[*].metadata.name}"), one)
		assert.Contains(t, mustClusterpass(t, "grants", "-o", "yaml"), "kind: AuthTokenGrantList")
	})
	t.Run("one is revoked by name and the others go on", func(t *testing.T) {
		assert.Contains(t, mustClusterpass(t, "revoke", one), "their tokens have ended\n")
		err := tryToken(t, answers["one"])
		require.True(t, apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err), "%v", err)
		require.NoError(t, tryToken(t, answers["two"]))
	})
	t.Run("all of an account are revoked", func(t *testing.T) {
		out := mustClusterpass(t, "revoke", "--service-account=two", "-A", "--wait=false")
		assert.Equal(t, "authtokengrant.clusterpass.dev/"+answers["two"].Status.GrantName+" deleted from default namespace\n", out)
	})
	t.Run("a name that is not there is an error", func(t *testing.T) {
		_, err := clusterpass(t.Context(), "revoke", "nobody")
		require.True(t, apierrors.IsNotFound(err), err)
	})
	t.Run("clusters are completed", func(t *testing.T) {
		assert.Contains(t, mustClusterpass(t, "__complete", "unjoin", ""), "bravelion\n")
	})
	t.Run("grants are completed", func(t *testing.T) {
		assert.Contains(t, mustClusterpass(t, "__complete", "revoke", ""), answers["three"].Status.GrantName+"\n")
	})
}
