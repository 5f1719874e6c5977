// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package argocd

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/util/db"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

const testdata = "../../../pkg/credentialset/format/testdata"

func TestArgoCD_SecretToCluster(t *testing.T) {
	ca := string(readTestdata(t, "ca.crt"))
	for _, test := range []struct{ name, server, serverName, proxy, ca string }{
		{name: "plain", server: "https://member.example.com:6443", ca: ca},
		{name: "ipv6", server: "https://[2001:db8::7]", ca: ca},
		{name: "system-roots", server: "https://member.example.com:6443"},
		{
			name: "name-and-proxy", server: "https://member.example.com:6443", ca: ca,
			serverName: "kubernetes", proxy: "http://proxy.example.com:3128",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret := secret(t, test.name)
			if secret.Labels[common.LabelKeySecretType] != common.LabelValueSecretTypeCluster {
				t.Errorf("labels %v: Argo CD looks for no such Secret", secret.Labels)
			}
			cluster, err := db.SecretToCluster(secret)
			if err != nil {
				t.Fatal(err)
			}
			config, err := cluster.RawRestConfig()
			if err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2]string{
				"name":        {cluster.Name, "bravelion"},
				"server":      {cluster.Server, test.server},
				"host":        {config.Host, test.server},
				"server name": {config.ServerName, test.serverName},
				"CA":          {string(config.CAData), test.ca},
				"token":       {config.BearerToken, "eyJhbGciOiJSUzI1NiJ9.a-token.of-the-member"},
				"proxy":       {proxyOf(t, config), test.proxy},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
				}
			}
			if config.Insecure {
				t.Error("the server is not verified")
			}
		})
	}
}

// secret returns a Secret of the format argocd.
func secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := yaml.UnmarshalStrict(readTestdata(t, name+".argocd.yaml"), &secret); err != nil {
		t.Fatal(err)
	}
	return &secret
}

func readTestdata(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(testdata, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// proxyOf returns the URL of the proxy to the server of config.
func proxyOf(t *testing.T, config *rest.Config) string {
	t.Helper()
	if config.Proxy == nil {
		return ""
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host, nil)
	if err != nil {
		t.Fatal(err)
	}
	proxy, err := config.Proxy(request)
	if err != nil {
		t.Fatal(err)
	}
	return proxy.String()
}
