// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// A merged context works with kubectl.
func TestKubectl_MergedContext(t *testing.T) {
	h := newHome(t, consumer)
	before := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(h.kubeconfig))
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "smartfish", "--merge")

	for _, member := range []string{"bravelion", "smartfish"} {
		assert.Contains(t, h.output(t, shared.kubectl, "--context="+member, "get", "namespaces", "-o", "name"), "namespace/default", member)
		who := h.output(t, shared.kubectl, "--context="+member, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		assert.Regexp(t, "^system:serviceaccount:default:clusterpass-consumer-", who, member)
	}
	after := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(h.kubeconfig))
	assert.Equal(t, before.CurrentContext, after.CurrentContext)
	for name := range before.Contexts {
		assert.NotNil(t, after.Contexts[name], name)
	}

	t.Run("a second time", func(t *testing.T) {
		content := testenv.Must[[]byte](t)(os.ReadFile(h.kubeconfig))
		h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "smartfish", "--merge")
		assert.Equal(t, string(content), string(testenv.Must[[]byte](t)(os.ReadFile(h.kubeconfig))))
	})
	t.Run("as the current context", func(t *testing.T) {
		h.output(t, shared.kubectl, "config", "use-context", "bravelion")
		h.output(t, shared.kubectl, "get", "namespaces")
		// The hub is pinned, so that a token can be had from within a member's context; to ask for others
		// is an error that says so.
		cmd := h.command(t, shared.kubectl, "clusterpass", "token", "smartfish")
		output, err := cmd.CombinedOutput()
		assert.Error(t, err)
		assert.Contains(t, string(output), "--context")
		h.output(t, shared.kubectl, "clusterpass", "--context=hub", "token", "smartfish")
	})
	t.Run("no token is in any file but the cache", func(t *testing.T) {
		tokens, cached := h.tokens(t), h.cached(t)
		require.Len(t, tokens, 2)
		found := testenv.Must[[]string](t)(testenv.FindTokens(tokens, h.files(t)))
		assert.Len(t, found, len(cached), "tokens are in %v alone", cached)
		for _, path := range cached {
			assert.Equal(t, os.FileMode(0o600), testenv.Must[os.FileInfo](t)(os.Stat(path)).Mode(), path)
			assert.Equal(t, os.FileMode(0o700), testenv.Must[os.FileInfo](t)(os.Stat(filepath.Dir(path))).Mode().Perm(), path)
		}
	})
}

// A printed kubeconfig works alone.
func TestKubectl_PrintedKubeconfig(t *testing.T) {
	h := newHome(t, consumer)
	path := filepath.Join(h.dir, "bravelion.yaml")
	require.NoError(t, os.WriteFile(path, []byte(h.output(t, shared.kubectlPlugin, "kubeconfig", "bravelion")), 0o600))
	h.env = append(h.env, "KUBECONFIG="+path)
	h.output(t, shared.kubectl, "get", "namespaces")
}

// Ten kubectls at once ask the hub once.
func TestKubectl_TenAtOnce(t *testing.T) {
	h := newHome(t, crowd)
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "--merge")
	require.NoError(t, os.RemoveAll(filepath.Join(h.dir, ".cache")))
	before := mints(t, crowd)
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			cmd := h.command(t, shared.kubectl, "--context=bravelion", "get", "namespaces")
			output, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s", output)
		})
	}
	running.Wait()
	assert.Equal(t, before+1, mints(t, crowd))
}

// TestKubectl_InContainers runs kubectl as process 1 of PID namespaces of its own, as containers
// do.
func TestKubectl_InContainers(t *testing.T) {
	container := []string{"--user", "--map-root-user", "--pid", "--fork", "--mount-proc"}
	if output, err := exec.CommandContext(t.Context(), "unshare", append(container, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no PID namespace can be made here: %v: %s", err, output)
	}
	unshare := testenv.Must[string](t)(exec.LookPath("unshare"))
	h := newHome(t, consumer)
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "--merge", "--service-account=in-containers")
	before := mints(t, consumer)
	for range 5 {
		h.output(t, unshare, append(container, shared.kubectl, "--context=bravelion", "get", "namespaces")...)
	}
	assert.Equal(t, before, mints(t, consumer), "5 containers use the cached token")
}

// Token prints a token, or the whole answer.
func TestToken_Output(t *testing.T) {
	h := newHome(t, consumer)
	token := h.output(t, shared.kubectl, "clusterpass", "token", "bravelion")
	assert.Equal(t, 2, strings.Count(strings.TrimSpace(token), "."), "a token is printed")
	var status v1alpha1.AuthTokenRequestStatus
	require.NoError(t, json.Unmarshal([]byte(h.output(t, shared.kubectl, "clusterpass", "token", "bravelion", "-o", "json")), &status))
	require.NotNil(t, status.Cluster)
	assert.Equal(t, shared.Bravelion.Server(), status.Cluster.Server)
	assert.NotEmpty(t, status.GrantName)
	assert.NotEmpty(t, status.Kubeconfig)
	assert.Empty(t, h.cached(t))
}
