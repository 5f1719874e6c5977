// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

func credential(change func(cluster *multiclusterv1alpha1.Cluster)) Credential {
	cluster := &multiclusterv1alpha1.Cluster{Server: "https://[::1]:6443", CertificateAuthorityData: []byte("CA")}
	change(cluster)
	return Credential{Cluster: "bravelion", Status: multiclusterv1alpha1.AuthTokenRequestStatus{
		Token: "secret", Cluster: cluster, Kubeconfig: []byte("a kubeconfig"),
	}}
}

func asIs(*multiclusterv1alpha1.Cluster) {}

func named(cluster *multiclusterv1alpha1.Cluster) { cluster.TLSServerName = "bravelion.internal" }

func proxied(cluster *multiclusterv1alpha1.Cluster) { cluster.ProxyURL = "https://proxy" }

func withoutCA(cluster *multiclusterv1alpha1.Cluster) { cluster.CertificateAuthorityData = nil }

func TestWhatASecretHolds(t *testing.T) {
	argo := map[string]string{"argocd.argoproj.io/secret-type": "cluster"}
	for name, test := range map[string]struct {
		format v1alpha1.SecretFormat
		change func(cluster *multiclusterv1alpha1.Cluster)
		data   map[string]string
		labels map[string]string
	}{
		"the kubeconfig of the answer": {"kubeconfig", asIs, map[string]string{"kubeconfig": "a kubeconfig"}, nil},
		"a cluster of Argo CD": {"argocd", asIs, map[string]string{
			"name": "bravelion", "server": "https://[::1]:6443", "config": `{"bearerToken":"secret","tlsClientConfig":{"caData":"Q0E="}}`,
		}, argo},
		"a cluster of Argo CD with a certificate for another name": {"argocd", named, map[string]string{
			"name": "bravelion", "server": "https://[::1]:6443", "config": `{"bearerToken":"secret","tlsClientConfig":{"serverName":"bravelion.internal","caData":"Q0E="}}`,
		}, argo},
		"a cluster of Argo CD with a certificate of the system's authorities": {"argocd", withoutCA, map[string]string{
			"name": "bravelion", "server": "https://[::1]:6443", "config": `{"bearerToken":"secret","tlsClientConfig":{}}`,
		}, argo},
		"a token and how to use it": {"token", asIs, map[string]string{"token": "secret", "server": "https://[::1]:6443", "ca.crt": "CA"}, nil},
		"a token for a cluster behind a proxy": {"token", proxied, map[string]string{
			"token": "secret", "server": "https://[::1]:6443", "ca.crt": "CA", "proxy-url": "https://proxy",
		}, nil},
		"a token for a cluster of another name, without a CA": {"token", func(c *multiclusterv1alpha1.Cluster) { named(c); withoutCA(c) }, map[string]string{
			"token": "secret", "server": "https://[::1]:6443", "tls-server-name": "bravelion.internal",
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			secret, err := Render(test.format, credential(test.change))
			require.NoError(t, err)
			got := map[string]string{}
			for key, value := range secret.Data {
				got[key] = string(value)
			}
			assert.Equal(t, test.data, got)
			assert.Equal(t, test.labels, secret.Labels)
		})
	}
}

func TestWhatNoSecretIsMadeOf(t *testing.T) {
	empty := credential(asIs)
	empty.Status.Token = ""
	nowhere := credential(asIs)
	nowhere.Status.Cluster = nil
	for name, test := range map[string]struct {
		format     v1alpha1.SecretFormat
		credential Credential
		words      string
	}{
		"no token":                     {"token", empty, "has no token"},
		"no server":                    {"kubeconfig", nowhere, "or no server"},
		"a proxy that is not known of": {"argocd", credential(proxied), "through a proxy"},
		"a format that is not known":   {"ini", credential(asIs), `format "ini" is not known`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Render(test.format, test.credential)
			require.ErrorContains(t, err, test.words)
			assert.NotContains(t, err.Error(), "secret\"")
		})
	}
}
