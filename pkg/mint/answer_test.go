// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"bytes"
	"testing"

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
	if err != nil {
		tb.Fatal(err)
	}
	return cluster, file
}

// The kubeconfig is all that it takes.
func TestKubeconfig(t *testing.T) {
	want, file := testKubeconfig(t)
	config, err := clientcmd.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	current := config.Contexts[config.CurrentContext]
	if current == nil || config.CurrentContext != "bravelion" || current.Namespace != "default" {
		t.Fatalf("current context %q: %v", config.CurrentContext, current)
	}
	cluster, user := config.Clusters[current.Cluster], config.AuthInfos[current.AuthInfo]
	if cluster.Server != want.Server || !bytes.Equal(cluster.CertificateAuthorityData, want.CertificateAuthorityData) ||
		cluster.TLSServerName != want.TLSServerName || cluster.ProxyURL != want.ProxyURL {
		t.Errorf("cluster %v", cluster)
	}
	if user.Token != "a-token" {
		t.Error("the user has another token")
	}
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
			if _, err := yaml.JSONToYAML(file); err != nil {
				b.Fatal(err)
			}
		}
	})
}
