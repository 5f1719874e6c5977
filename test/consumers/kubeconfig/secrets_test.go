// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeconfig

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"
)

const testdata = "../../../pkg/credentialset/format/testdata"

// expected is what a consumer makes of a Secret of testdata.
type expected struct {
	name, host, serverName, proxy string
	systemRoots                   bool
}

var cases = []expected{
	{name: "plain", host: "https://member.example.com:6443"},
	{name: "ipv6", host: "https://[2001:db8::7]:443"},
	{name: "system-roots", host: "https://member.example.com:6443", systemRoots: true},
	{
		name: "name-and-proxy", host: "https://member.example.com:6443",
		serverName: "kubernetes", proxy: "http://proxy.example.com:3128",
	},
}

// secret returns a Secret of the format kubeconfig.
func secret(t *testing.T, name string) *corev1.Secret {
	t.Helper()
	var secret corev1.Secret
	if err := yaml.UnmarshalStrict(readTestdata(t, name+".kubeconfig.yaml"), &secret); err != nil {
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

// check says where config is not what is expected.
func (e *expected) check(t *testing.T, config *rest.Config) {
	t.Helper()
	var ca string
	if !e.systemRoots {
		ca = string(readTestdata(t, "ca.crt"))
	}
	for what, pair := range map[string][2]string{
		"host":        {config.Host, e.host},
		"server name": {config.ServerName, e.serverName},
		"CA":          {string(config.CAData), ca},
		"token":       {config.BearerToken, "eyJhbGciOiJSUzI1NiJ9.a-token.of-the-member"},
		"proxy":       {proxyOf(t, config), e.proxy},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
		}
	}
	if config.Insecure {
		t.Error("the server is not verified")
	}
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
