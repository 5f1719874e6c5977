// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// joinBravelion joins it as the fleet does.
const joinBravelion = "kubectl clusterpass join bravelion --member-context bravelion" +
	" --allow-cluster-roles cluster-admin,edit,view --allow-rules"

// TestKubeconfig_JoinedAgain has an admin take bravelion out and join it by another address, while
// alice has a context for it, and a token that works no more.
func TestKubeconfig_JoinedAgain(t *testing.T) {
	r := newReader(t)
	here := on(t, "bravelion", "config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
	elsewhere := strings.Replace(here, "127.0.0.1", "localhost", 1)
	require.NotEqual(t, here, elsewhere)
	const (
		merge   = "kubectl clusterpass kubeconfig bravelion --merge"
		use     = "kubectl --context=bravelion get namespaces"
		address = "; kubectl --context=bravelion config view --minify -o jsonpath='{.clusters[0].cluster.server}'"
		again   = "kubectl clusterpass unjoin bravelion --member-context bravelion && " + joinBravelion
	)
	for _, step := range []struct{ name, user, command, answer string }{
		{"she has a context", "alice", merge + "; " + use, "default"},
		{"the cluster is joined again, by another address", "admin", again + " --member-server " + elsewhere, "bravelion"},
		{"the context leads there at once", "alice", merge + "; " + use + address, elsewhere},
		{"it is joined again, by the same address", "admin", again + " --member-server " + elsewhere, "bravelion"},
		{"without another merge, the first kubectl has the token replaced", "alice", use + " || " + use, "default"},
		{"it moves back", "admin", joinBravelion, "bravelion"},
		{"the context follows", "alice", merge + "; " + use + address, here},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			out, err := r.bash(t.Context(), step.user, step.command)
			require.NoError(t, err, out)
			assert.Contains(t, out, step.answer)
		})
		if !ok {
			break
		}
	}
	fleetUp(t)
}

// TestKubeconfig_UnsafeCache has alice use a context where no token can be kept.
func TestKubeconfig_UnsafeCache(t *testing.T) {
	r := newReader(t)
	out, err := r.bash(t.Context(), "alice", "kubectl clusterpass kubeconfig bravelion --merge")
	require.NoError(t, err, out)
	for _, test := range []struct{ name, prepare, cache, words string }{
		{"others may write to it", "mkdir -p open/clusterpass/tokens; chmod 777 open/clusterpass/tokens", "open", "chmod 700"},
		{
			"it is a link", "mkdir -p elsewhere link/clusterpass; chmod 700 elsewhere; ln -s $PWD/elsewhere link/clusterpass/tokens",
			"link", "not a folder of yours",
		},
		{"it can't be made", "touch file", "file", "not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			use := "; XDG_CACHE_HOME=$PWD/" + test.cache + " kubectl --context=bravelion get namespaces -o name"
			out, err := r.bash(t.Context(), "alice", test.prepare+use)
			require.NoError(t, err, out)
			assert.Contains(t, out, "namespace/default")
			assert.Contains(t, out, "tokens are not cached")
			assert.Contains(t, out, test.words)
		})
	}
	out, err = r.bash(t.Context(), "alice", "find open elsewhere link -type f")
	require.NoError(t, err, out)
	assert.Empty(t, out, "a token is kept where others may read it")
}
