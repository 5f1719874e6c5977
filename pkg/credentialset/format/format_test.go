// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

const testToken = "eyJhbGciOiJSUzI1NiJ9.a-token.of-the-member"

var formats = []v1alpha1.SecretFormat{v1alpha1.SecretFormatKubeconfig, v1alpha1.SecretFormatArgoCD, v1alpha1.SecretFormatToken}

// credential returns one that is good in every format, after change.
func credential(t *testing.T, change func(*Credential)) Credential {
	t.Helper()
	ca, err := os.ReadFile("testdata/ca.crt")
	require.NoError(t, err)
	expires := metav1.NewTime(time.Date(2026, 3, 1, 13, 0, 0, 0, time.FixedZone("CET", 3600)))
	c := Credential{
		Cluster: "bravelion", Namespace: "jobs",
		Status: multiclusterv1alpha1.AuthTokenRequestStatus{
			Token:               testToken,
			ExpirationTimestamp: &expires,
			Cluster:             &multiclusterv1alpha1.Cluster{Server: "https://member.example.com:6443", CertificateAuthorityData: ca},
		},
	}
	if change != nil {
		change(&c)
	}
	return c
}

// rendered returns the Secret of a credential that is good in every format, after change.
func rendered(t *testing.T, f v1alpha1.SecretFormat, change func(*Credential)) *Secret {
	t.Helper()
	secret, err := Render(f, credential(t, change))
	require.NoError(t, err)
	return secret
}

func server(url string) func(*Credential) {
	return func(c *Credential) { c.Status.Cluster.Server = url }
}

func proxy(url string) func(*Credential) {
	return func(c *Credential) { c.Status.Cluster.ProxyURL = url }
}

func withoutCA(c *Credential) { c.Status.Cluster.CertificateAuthorityData = nil }

// What no format takes.
func TestRender_Refusals(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Credential)
		want   string
	}{
		{"a cluster without a name", func(c *Credential) { c.Cluster = "" }, "no name"},
		{"no token", func(c *Credential) { c.Status.Token = "" }, "has no token"},
		{"no cluster", func(c *Credential) { c.Status.Cluster = nil }, "does not say how to reach"},
		{"a CA that is none", func(c *Credential) { c.Status.Cluster.CertificateAuthorityData = []byte(testToken) }, "not PEM"},
		{"no server", server(""), "there is no server"},
		{"a server without TLS", server("http://member.example.com"), "must be https"},
		{"a server that is no URL", server("https://member.example.com:" + testToken), "not a URL"},
		{"a server without a scheme", server("member.example.com:6443"), "must be https"},
		{"a server without a host", server("https://:6443"), "has no host"},
		{"a server with a password", server("https://user:" + testToken + "@member.example.com"), "a user name or a password"},
		{"a server with a query", server("https://member.example.com?token=" + testToken), "a query or a fragment"},
		{"a server with a fragment", server("https://member.example.com#" + testToken), "a query or a fragment"},
		{"a host with an underscore", server("https://a_member.example.com"), "an IP address or a DNS name"},
		{"a host with a wildcard", server("https://*.example.com"), "an IP address or a DNS name"},
		{"a host that ends in a dot", server("https://member.example.com.:6443"), "an IP address or a DNS name"},
		{"an IPv6 host with a zone", server("https://[fe80::1%25eth0]:6443"), "percent signs"},
		{"a proxy that is no URL", proxy("http://proxy:" + testToken), "not a URL"},
		{"a proxy without a host", proxy("http://"), "has no host"},
		{"a proxy of another kind", proxy("ftp://proxy.example.com"), "http, https or socks5"},
		{"a proxy with a query", proxy("http://proxy.example.com?token=" + testToken), "a query or a fragment"},
		{"a proxy with a fragment", proxy("http://proxy.example.com#" + testToken), "a query or a fragment"},
		{"a proxy with a password", proxy("http://user:" + testToken + "@proxy.example.com"), "a user name or a password"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, f := range formats {
				secret, err := Render(f, credential(t, test.change))
				require.ErrorContains(t, err, test.want, f)
				assert.NotContains(t, err.Error(), testToken, f)
				assert.Nil(t, secret, f)
			}
		})
	}
}

// An unknown format is an error that names the known.
func TestRender_UnknownFormat(t *testing.T) {
	for _, f := range []v1alpha1.SecretFormat{"", "yaml"} {
		_, err := Render(f, credential(t, nil))
		require.ErrorContains(t, err, "none of kubeconfig, argocd and token")
		assert.ErrorContains(t, err, `"bravelion"`)
		assert.NotContains(t, err.Error(), testToken)
	}
}

// The same credential gives the same bytes.
func TestRender_Deterministic(t *testing.T) {
	for _, f := range formats {
		first := rendered(t, f, nil)
		assert.Equal(t, first, rendered(t, f, nil))
		assert.Equal(t, corev1.SecretTypeOpaque, first.Type)
	}
}

// A kubeconfig is all that it takes.
func TestRender_Kubeconfig(t *testing.T) {
	for _, test := range []struct {
		name       string
		change     func(*Credential)
		wantServer string
	}{
		{"a name and a port", nil, "https://member.example.com:6443"},
		{"a name alone", server("https://member.example.com"), "https://member.example.com"},
		{"capitals", server("https://Member.Example.com"), "https://Member.Example.com"},
		{"a path", server("https://member.example.com/k8s/clusters/c-1"), "https://member.example.com/k8s/clusters/c-1"},
		{"an IPv4 host", server("https://192.0.2.7"), "https://192.0.2.7"},
		{"an IPv6 host and a port", server("https://[2001:db8::7]:6443"), "https://[2001:db8::7]:6443"},
		{"an IPv6 host alone gets its port", server("https://[2001:db8::7]/path"), "https://[2001:db8::7]:443/path"},
		{"no CA means those of the system", withoutCA, "https://member.example.com:6443"},
		{"another name to verify", func(c *Credential) { c.Status.Cluster.TLSServerName = "kubernetes" }, "https://member.example.com:6443"},
		{"a proxy", proxy("socks5://proxy.example.com:1080"), "https://member.example.com:6443"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, secret := credential(t, test.change), rendered(t, v1alpha1.SecretFormatKubeconfig, test.change)
			assert.Empty(t, secret.Labels)
			assert.Len(t, secret.Data, 2)
			assert.Equal(t, secret.Data[KueueKey], secret.Data[ValueKey])

			config, err := clientcmd.Load(secret.Data[KueueKey])
			require.NoError(t, err)
			require.Equal(t, "bravelion", config.CurrentContext)
			require.Len(t, config.Clusters, 1)
			require.Len(t, config.AuthInfos, 1)
			assert.Equal(t, "jobs", config.Contexts["bravelion"].Namespace)
			cluster, user := config.Clusters["bravelion"], config.AuthInfos["clusterpass@bravelion"]
			assert.Equal(t, test.wantServer, cluster.Server)
			assert.Equal(t, c.Status.Cluster.CertificateAuthorityData, cluster.CertificateAuthorityData)
			assert.Equal(t, c.Status.Cluster.TLSServerName, cluster.TLSServerName)
			assert.Equal(t, c.Status.Cluster.ProxyURL, cluster.ProxyURL)
			assert.Equal(t, testToken, user.Token)
		})
	}
}

// Argo CD gets its declarative cluster.
func TestRender_ArgoCD(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Credential)
		want   map[string]any
		tls    map[string]any
	}{
		{name: "a token and a CA"},
		{
			name:   "another name to verify",
			change: func(c *Credential) { c.Status.Cluster.TLSServerName = "kubernetes" },
			tls:    map[string]any{"serverName": "kubernetes"},
		},
		{name: "a proxy", change: proxy("http://proxy.example.com:3128"), want: map[string]any{"proxyUrl": "http://proxy.example.com:3128"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, secret := credential(t, test.change), rendered(t, v1alpha1.SecretFormatArgoCD, test.change)
			assert.Equal(t, map[string]string{"argocd.argoproj.io/secret-type": "cluster"}, secret.Labels)
			assert.Len(t, secret.Data, 3)
			assert.Equal(t, "bravelion", string(secret.Data["name"]))
			assert.Equal(t, "https://member.example.com:6443", string(secret.Data["server"]))
			assert.JSONEq(t, argoCDJSON(t, c, test.want, test.tls), string(secret.Data["config"]))
		})
	}
}

// Argo CD gets what the set says.
func TestRender_ArgoCDOptions(t *testing.T) {
	secret := rendered(t, v1alpha1.SecretFormatArgoCD, func(c *Credential) {
		c.ArgoCD = &v1alpha1.ArgoCDCluster{
			Name: "Brave Lion", Namespaces: []string{"a", "b"}, ClusterResources: ptr.To(true), Project: "infra", Shard: ptr.To(int32(2)),
		}
	})
	for key, want := range map[string]string{
		"name": "Brave Lion", "namespaces": "a,b", "clusterResources": "true", "project": "infra", "shard": "2",
	} {
		assert.Equal(t, want, string(secret.Data[key]), key)
	}
	secret = rendered(t, v1alpha1.SecretFormatArgoCD, func(c *Credential) { c.ArgoCD = &v1alpha1.ArgoCDCluster{Shard: ptr.To(int32(0))} })
	assert.Equal(t, "0", string(secret.Data["shard"]))
	assert.Len(t, secret.Data, 4, "what it does not say has no key")
	_, err := Render(v1alpha1.SecretFormatArgoCD,
		credential(t, func(c *Credential) { c.ArgoCD = &v1alpha1.ArgoCDCluster{Name: "in-cluster"} }))
	require.ErrorContains(t, err, "the cluster that Argo CD runs in")
}

func TestTokens(t *testing.T) {
	for _, f := range formats {
		assert.Contains(t, Tokens(rendered(t, f, nil).Data), testToken, f)
	}
	assert.NotContains(t, Tokens(map[string][]byte{"config": []byte("}"), "kubeconfig": []byte("}")}), testToken)
}

// argoCDJSON returns the JSON of Argo CD's documentation for c, with more of it.
func argoCDJSON(t *testing.T, c Credential, more, moreTLS map[string]any) string {
	t.Helper()
	tls := map[string]any{"insecure": false, "caData": c.Status.Cluster.CertificateAuthorityData}
	maps.Copy(tls, moreTLS)
	config := map[string]any{"bearerToken": testToken, "tlsClientConfig": tls}
	maps.Copy(config, more)
	encoded, err := json.Marshal(config)
	require.NoError(t, err)
	return string(encoded)
}

// Argo CD without a CA is not insecure.
func TestRender_ArgoCDWithoutCA(t *testing.T) {
	secret := rendered(t, v1alpha1.SecretFormatArgoCD, withoutCA)
	assert.JSONEq(t, `{"bearerToken": "`+testToken+`", "tlsClientConfig": {"insecure": false}}`, string(secret.Data["config"]))
}

// A member does not take the place of Argo CD's own cluster.
func TestRender_ArgoCDOwnCluster(t *testing.T) {
	for name, change := range map[string]func(*Credential){
		"by its name":               func(c *Credential) { c.Cluster = "in-cluster" },
		"by its server":             server("https://kubernetes.default.svc"),
		"by its server and a slash": server("https://kubernetes.default.svc/"),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Render(v1alpha1.SecretFormatArgoCD, credential(t, change))
			require.ErrorContains(t, err, "the cluster that Argo CD runs in")
			assert.NotContains(t, err.Error(), testToken)

			_, err = Render(v1alpha1.SecretFormatKubeconfig, credential(t, change))
			assert.NoError(t, err, "others don't mind")
		})
	}
}

// A token comes with what the answer has.
func TestRender_Token(t *testing.T) {
	secret := rendered(t, v1alpha1.SecretFormatToken, nil)
	assert.Empty(t, secret.Labels)
	assert.Equal(t, map[string][]byte{
		"token":               []byte(testToken),
		"ca.crt":              credential(t, nil).Status.Cluster.CertificateAuthorityData,
		"server":              []byte("https://member.example.com:6443"),
		"expirationTimestamp": []byte("2026-03-01T12:00:00Z"),
	}, secret.Data)

	secret = rendered(t, v1alpha1.SecretFormatToken, func(c *Credential) {
		c.Status.ExpirationTimestamp = nil
		c.Status.Cluster = &multiclusterv1alpha1.Cluster{
			Server: "https://[2001:db8::7]", TLSServerName: "kubernetes", ProxyURL: "http://proxy.example.com:3128",
		}
	})
	assert.Equal(t, map[string][]byte{
		"token":           []byte(testToken),
		"server":          []byte("https://[2001:db8::7]"),
		"tls-server-name": []byte("kubernetes"),
		"proxy-url":       []byte("http://proxy.example.com:3128"),
	}, secret.Data)
}

// updateVariable is the variable of the environment by which the test writes testdata anew.
const updateVariable = "UPDATE_TESTDATA"

// TestRender_Testdata keeps testdata what Render returns. The tests in
// test/consumers give these Secrets to the code of Argo CD and others, whose modules want
// other versions of Kubernetes than this one has.
func TestRender_Testdata(t *testing.T) {
	for name, change := range map[string]func(*Credential){
		"plain":        nil,
		"ipv6":         server("https://[2001:db8::7]"),
		"system-roots": withoutCA,
		"name-and-proxy": func(c *Credential) {
			c.Status.Cluster.TLSServerName, c.Status.Cluster.ProxyURL = "kubernetes", "http://proxy.example.com:3128"
		},
	} {
		for _, f := range formats {
			t.Run(name+" "+string(f), func(t *testing.T) {
				path := filepath.Join("testdata", name+"."+string(f)+".yaml")
				secret := rendered(t, f, change)
				got, err := yaml.Marshal(corev1.Secret{
					TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
					ObjectMeta: metav1.ObjectMeta{Name: "bravelion", Labels: secret.Labels},
					Type:       secret.Type,
					Data:       secret.Data,
				})
				require.NoError(t, err)
				if os.Getenv(updateVariable) != "" {
					require.NoError(t, os.WriteFile(path, got, 0o600))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, string(want), string(got), updateVariable+"=1 go test writes it anew")
			})
		}
	}
}
