// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

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
		if got := h.output(t, shared.kubectl, "--context="+member, "get", "namespaces", "-o", "name"); !strings.Contains(got, "namespace/default") {
			t.Errorf("%s: %s", member, got)
		}
		who := h.output(t, shared.kubectl, "--context="+member, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		if want := "system:serviceaccount:default:clusterpass-consumer-"; !strings.HasPrefix(who, want) {
			t.Errorf("%s knows us as %s, want %s...", member, who, want)
		}
	}
	after := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(h.kubeconfig))
	if after.CurrentContext != before.CurrentContext {
		t.Errorf("the current context is %q now", after.CurrentContext)
	}
	for name := range before.Contexts {
		if after.Contexts[name] == nil {
			t.Errorf("context %q is gone", name)
		}
	}

	t.Run("a second time", func(t *testing.T) {
		content := testenv.Must[[]byte](t)(os.ReadFile(h.kubeconfig))
		h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "smartfish", "--merge")
		if !bytes.Equal(testenv.Must[[]byte](t)(os.ReadFile(h.kubeconfig)), content) {
			t.Error("the kubeconfig has changed")
		}
	})
	t.Run("as the current context", func(t *testing.T) {
		h.output(t, shared.kubectl, "config", "use-context", "bravelion")
		h.output(t, shared.kubectl, "get", "namespaces")
		// The hub is pinned, so that a token can be had from within a member's context; to ask for others is an error that says so.
		cmd := h.command(t, shared.kubectl, "clusterpass", "token", "smartfish")
		output, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(output), "--context") {
			t.Errorf("%v: %s", err, output)
		}
		h.output(t, shared.kubectl, "clusterpass", "--context=hub", "token", "smartfish")
	})
	t.Run("no token is in any file but the cache", func(t *testing.T) {
		tokens, cached := h.tokens(t), h.cached(t)
		if len(tokens) != 2 {
			t.Fatalf("%d tokens are cached, want 2", len(tokens))
		}
		found := testenv.Must[[]string](t)(testenv.FindTokens(tokens, h.files(t)))
		if len(found) != len(cached) {
			t.Errorf("tokens are in %v, want them in %v alone", found, cached)
		}
		for _, path := range cached {
			if mode := testenv.Must[os.FileInfo](t)(os.Stat(path)).Mode(); mode != 0o600 {
				t.Errorf("%s has mode %o", path, mode)
			}
			if mode := testenv.Must[os.FileInfo](t)(os.Stat(filepath.Dir(path))).Mode().Perm(); mode != 0o700 {
				t.Errorf("%s has mode %o", filepath.Dir(path), mode)
			}
		}
	})
}

// A printed kubeconfig works alone.
func TestKubectl_PrintedKubeconfig(t *testing.T) {
	h := newHome(t, consumer)
	path := filepath.Join(h.dir, "bravelion.yaml")
	if err := os.WriteFile(path, []byte(h.output(t, shared.kubectlPlugin, "kubeconfig", "bravelion")), 0o600); err != nil {
		t.Fatal(err)
	}
	h.env = append(h.env, "KUBECONFIG="+path)
	h.output(t, shared.kubectl, "get", "namespaces")
}

// Ten kubectls at once ask the hub once.
func TestKubectl_TenAtOnce(t *testing.T) {
	h := newHome(t, crowd)
	h.output(t, shared.kubectl, "clusterpass", "kubeconfig", "bravelion", "--merge")
	if err := os.RemoveAll(filepath.Join(h.dir, ".cache")); err != nil {
		t.Fatal(err)
	}
	before := mints(t, crowd)
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			cmd := h.command(t, shared.kubectl, "--context=bravelion", "get", "namespaces")
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
	running.Wait()
	if n := mints(t, crowd) - before; n != 1 {
		t.Errorf("the hub was asked for %d tokens, want 1", n)
	}
}

// TestKubectl_InContainers runs kubectl as process 1 of PID namespaces of its own, as containers do.
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
	if n := mints(t, consumer) - before; n != 0 {
		t.Errorf("5 containers took %d tokens, want the cached one", n)
	}
}

// Token prints a token, or the whole answer.
func TestToken_Output(t *testing.T) {
	h := newHome(t, consumer)
	token := h.output(t, shared.kubectl, "clusterpass", "token", "bravelion")
	if strings.Count(strings.TrimSpace(token), ".") != 2 {
		t.Error("no token is printed")
	}
	var status v1alpha1.AuthTokenRequestStatus
	if err := json.Unmarshal([]byte(h.output(t, shared.kubectl, "clusterpass", "token", "bravelion", "-o", "json")), &status); err != nil {
		t.Fatal(err)
	}
	if status.Cluster == nil || status.Cluster.Server != shared.Bravelion.Server() || status.GrantName == "" || len(status.Kubeconfig) == 0 {
		t.Error("the answer is not whole")
	}
	if len(h.cached(t)) > 0 {
		t.Error("a token is kept")
	}
}
