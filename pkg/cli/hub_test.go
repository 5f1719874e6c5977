// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// TestCommands_NoHub is for users who have set nothing up yet, or are in another shell.
func TestCommands_NoHub(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	// A cluster that nobody answers for.
	away := "https://" + listener.Addr().String()
	dir := t.TempDir()
	hub := clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"hub": {Server: away}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"alice": {Token: "s3cret"}},
		Contexts:  map[string]*clientcmdapi.Context{"hub": {Cluster: "hub", AuthInfo: "alice"}},
	}
	noneCurrent, empty, unreachable := filepath.Join(dir, "none-current"), filepath.Join(dir, "empty"), filepath.Join(dir, "unreachable")
	require.NoError(t, clientcmd.WriteToFile(hub, noneCurrent))
	hub.CurrentContext = "hub"
	require.NoError(t, clientcmd.WriteToFile(hub, unreachable))
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	t.Setenv("HOME", dir)
	t.Setenv("KUBERNETES_MASTER", "")

	commands := []string{
		"doctor", "doctor --uninstall", "token bravelion", "get-token bravelion", "kubeconfig bravelion", "grants", "revoke one",
		"join bravelion --member-context=hub", "unjoin bravelion", "migrate --dry-run", "explain placement gpu", "renew-author gpu",
	}
	for name, test := range map[string]struct {
		env, flags string
		want       []string
	}{
		"no kubeconfig":             {filepath.Join(dir, "nowhere"), "", []string{"no hub: there is no kubeconfig, or there is nothing in it", "nowhere"}},
		"an empty one":              {empty, "", []string{"no hub: there is no kubeconfig, or there is nothing in it", "empty"}},
		"no context is current":     {noneCurrent, "", []string{"no hub: the kubeconfig", "has no current context"}},
		"a flag that leads nowhere": {unreachable, " --kubeconfig=" + filepath.Join(dir, "nowhere"), []string{"no kubeconfig: ", "no such file"}},
		"a hub that is away":        {unreachable, "", []string{"does not answer", away}},
	} {
		for _, command := range commands {
			t.Run(name+"/"+command, func(t *testing.T) {
				t.Setenv("KUBECONFIG", test.env)
				out, err := run(strings.Fields(command + test.flags)...)
				require.Error(t, err)
				told := out + err.Error()
				first, _, _ := strings.Cut(told, "\n")
				for _, words := range test.want {
					assert.Contains(t, first, words)
				}
				assert.Contains(t, told, nameTheHub)
				assert.NotContains(t, told, "localhost")
				assert.NotContains(t, told, "s3cret")
			})
		}
	}
}

// TestCommands_HubOnDefaultAddress is for whoever means localhost:8080.
func TestCommands_HubOnDefaultAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"hub": {Server: "http://localhost:8080"}},
		Contexts:       map[string]*clientcmdapi.Context{"hub": {Cluster: "hub"}},
		CurrentContext: "hub",
	}, file))
	for name, test := range map[string]struct{ env, flag string }{
		"by its kubeconfig": {file, ""},
		"by a flag":         {filepath.Join(t.TempDir(), "none"), "--server=http://localhost:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			args := []string{"grants", "--request-timeout=1s"}
			if test.flag != "" {
				args = append(args, test.flag)
			}
			_, err := run(args...)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "no hub")
		})
	}
}
