// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/credential"
)

// What is wrong is said.
func TestPlugin_Errors(t *testing.T) {
	dir := t.TempDir()
	kubeconfig := filepath.Join(dir, "hub.yaml")
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"hub": {Server: "https://127.0.0.1:1"}},
		Contexts:       map[string]*clientcmdapi.Context{"hub": {Cluster: "hub"}},
		CurrentContext: "hub",
	}, kubeconfig))
	const cluster = `{"server":"https://bravelion.example.com","config":{"targetClusterProfile":{"namespace":"fleet","name":"bravelion"}}}`
	for _, test := range []struct {
		name string
		// info is what client-go says.
		info string
		args []string
		want string
	}{
		{name: "an argument", args: []string{"bravelion"}, want: `unknown argument "bravelion"`},
		{name: "an unknown flag", args: []string{"--cluster=bravelion"}, want: "unknown flag"},
		{name: "not run by client-go", want: "provideClusterInfo"},
		{name: "no cluster", info: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential"}`, want: "provideClusterInfo"},
		{name: "another kind", info: `{"apiVersion":"v1","kind":"Secret"}`, want: credential.ExecInfoEnv},
		{
			name: "no account, and a hub that is not reached", want: "to name a ServiceAccount for you (or use --service-account)",
			info: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":` + cluster + `}}`,
		},
		{name: "a profile without a namespace", args: []string{"--profile=bravelion"}, want: `--profile "bravelion" is not NAMESPACE/NAME`},
		{name: "no such context", args: []string{"--context=none"}, want: `"none" does not exist`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(credential.ExecInfoEnv, test.info)
			var stdout, stderr strings.Builder
			args := append([]string{"--kubeconfig=" + kubeconfig, "--cache-dir=" + filepath.Join(dir, "cache")}, test.args...)
			err := run(t.Context(), args, &stdout, &stderr)
			require.ErrorContains(t, err, test.want)
			assert.Empty(t, stdout.String())
		})
	}
}

func TestPlugin_Version(t *testing.T) {
	var stdout, stderr strings.Builder
	require.NoError(t, run(t.Context(), []string{"--version"}, &stdout, &stderr))
	assert.Regexp(t, `^v\d+\.`, stdout.String())
}
