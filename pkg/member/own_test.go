// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The token in a kubeconfig is replaced, and nothing else.
func TestWithKubeconfigToken(t *testing.T) {
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: "https://c", TLSServerName: "name"}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: "old"}, "other": {Token: "kept"}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {Cluster: "c", AuthInfo: "u"}, "o": {Cluster: "c", AuthInfo: "other"}, "broken": {Cluster: "c", AuthInfo: "missing"}},
		CurrentContext: "c",
	}
	before, err := clientcmd.Write(config)
	require.NoError(t, err)

	for context, token := range map[string]string{"": "old", "c": "old", "o": "kept", "broken": "", "missing": ""} {
		assert.Equal(t, token, KubeconfigToken(before, context), context)
	}
	after, err := WithKubeconfigToken(before, "", "new")
	require.NoError(t, err)
	config.AuthInfos["u"].Token = "new"
	want, err := clientcmd.Write(config)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(after))

	_, err = WithKubeconfigToken(before, "broken", "new")
	require.EqualError(t, err, "the kubeconfig has no user for the context")
	_, err = WithKubeconfigToken([]byte("{"), "", "new")
	require.EqualError(t, err, "it is not a kubeconfig")
}

// No file is read for a token.
func TestKubeconfigToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("of a file"), 0o600))
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {TokenFile: file}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {AuthInfo: "u"}},
		CurrentContext: "c",
	})
	require.NoError(t, err)
	assert.Empty(t, KubeconfigToken(kubeconfig, ""))
	assert.Empty(t, KubeconfigToken([]byte("{"), ""))
}
