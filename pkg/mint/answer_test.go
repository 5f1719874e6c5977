// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

func testKubeconfig(tb testing.TB) (clientcmdv1.Cluster, []byte) {
	tb.Helper()
	g := grant.New("default", validRequest().Spec, "uid-1", clusterpassv1alpha1.Requester{})
	cluster := clientcmdv1.Cluster{
		Server:                   "https://bravelion.example.com:6443",
		CertificateAuthorityData: []byte("-----BEGIN CERTIFICATE-----\n"),
		TLSServerName:            "bravelion",
		ProxyURL:                 "https://proxy.example.com",
	}
	file, err := kubeconfig(g, cluster, "a-token")
	require.NoError(tb, err)
	return cluster, file
}

// The kubeconfig is all that it takes.
func TestKubeconfig(t *testing.T) {
	want, file := testKubeconfig(t)
	config, err := clientcmd.Load(file)
	require.NoError(t, err)
	current := config.Contexts[config.CurrentContext]
	require.NotNil(t, current)
	assert.Equal(t, "bravelion", config.CurrentContext)
	assert.Equal(t, "default", current.Namespace)
	cluster := config.Clusters[current.Cluster]
	assert.Equal(t, want.Server, cluster.Server)
	assert.Equal(t, want.CertificateAuthorityData, cluster.CertificateAuthorityData)
	assert.Equal(t, want.TLSServerName, cluster.TLSServerName)
	assert.Equal(t, want.ProxyURL, cluster.ProxyURL)
	assert.Equal(t, "a-token", config.AuthInfos[current.AuthInfo].Token)
}

// BenchmarkKubeconfig shows why the file is JSON.
func BenchmarkKubeconfig(b *testing.B) {
	_, file := testKubeconfig(b)
	b.Run("as it is", func(b *testing.B) {
		for b.Loop() {
			testKubeconfig(b)
		}
	})
	b.Run("as YAML of block style", func(b *testing.B) {
		for b.Loop() {
			_, err := yaml.JSONToYAML(file)
			require.NoError(b, err)
		}
	})
}
