// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/test/docs"
	"clusterpass.dev/test/testenv"
)

// delivered has a platform deliver artifacts/deploy/member to bravelion, and returns what kubectl
// says.
func delivered(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(testenv.Root(t), "artifacts", "deploy", "member")
	return testenv.MustKubectl(t, shared.Bravelion.Kubeconfig(), "", "apply", "--server-side", "--field-manager=work-agent", "-k", folder)
}

// byManifests returns the commands of docs/adopt.md that make a Secret for bravelion by hand: those
// for a shell, and those of the plugin that come after them.
func byManifests(t *testing.T) (shell string, plugin [][]string) {
	t.Helper()
	var lines []string
	for _, block := range testenv.Must[[]docs.Block](t)(docs.Read(testenv.Root(t), "docs/adopt.md")) {
		if !strings.Contains(block.Text(), "create secret generic") {
			continue
		}
		for _, command := range block.Commands() {
			text := strings.ReplaceAll(command.Text, "MEMBER", "bravelion")
			if of, ok := strings.CutPrefix(text, "kubectl clusterpass "); ok {
				plugin = append(plugin, strings.Fields(strings.TrimSuffix(of, ">/dev/null")))
				continue
			}
			require.Empty(t, plugin, "a command for the shell after those of the plugin: %s", block.Place(command.Line))
			lines = append(lines, text)
		}
	}
	require.NotEmpty(t, lines)
	require.NotEmpty(t, plugin)
	return strings.Join(lines, "\n"), plugin
}

// Who has a way to deliver manifests needs no kubeconfig of the member's admin.
func TestJoin_AdoptByManifests(t *testing.T) {
	delivered(t)
	t.Cleanup(func() {
		folder := filepath.Join(testenv.Root(t), "artifacts", "deploy", "member")
		_, err := testenv.Kubectl(context.WithoutCancel(t.Context()), shared.Bravelion.Kubeconfig(), "", "delete", "-k", folder)
		require.NoError(t, err)
		waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
	})
	before := snapshot(t, shared.Bravelion)
	profile := managed(t, "fleet", "bravelion")
	shell, plugin := byManifests(t)
	cmd := exec.CommandContext(t.Context(), "bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c", shell)
	tools := filepath.Dir(testenv.Must[string](t)(testenv.ToolPath("kubectl")))
	cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.kubeconfig, "HOME="+t.TempDir(), "PATH="+tools+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	requestFor(t, shared.kubeconfig, "fleet", "bravelion", "first") // the hub has seen the Secret
	for _, args := range plugin {
		if args[0] != "unjoin" {
			mustClusterpass(t, args...)
			delivered(t) // once more, which changes nothing
			continue
		}
		assert.Contains(t, mustClusterpass(t, append(args, longTimeout)...), "hub: deleted secret/fleet-bravelion in clusterpass-system\n")
	}
	unwritten(t, profile)
	assert.Equal(t, before, snapshot(t, shared.Bravelion), "what was delivered is as it was, and nothing else is there")
	require.NoError(t, gone(t.Context(), shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), "fleet-bravelion"))
	grants := testenv.List(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(""), metav1.ListOptions{})
	assert.Empty(t, grants.Items)
}
