// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

const configHeader = "apiVersion: config.clusterpass.dev/v1alpha1\nkind: AccessConfiguration\n"

func TestLoadFile(t *testing.T) {
	ca := base64.StdEncoding.EncodeToString(newAuthority(t, "ca").pem)
	exec := func(more string) string {
		return configHeader + "providers:\n- name: plugin\n  exec:\n    command: /plugins/p\n" +
			"    servers: [\"https://*.example.com:6443\"]\n    bindings: [{namespaces: [fleet]}]\n" + more
	}
	// leading returns an exec provider for servers, with bindings.
	leading := func(servers, more string) string {
		return configHeader + "providers:\n- name: plugin\n  exec:\n    command: /plugins/p\n" +
			"    certificateAuthorityData: " + ca + "\n    servers: " + servers + "\n" + more
	}
	const (
		unbound = "providers[0].exec.bindings: Required"
		proxies = "    proxyURLs: [\"http://proxy:3128\"]\n"
	)
	for _, test := range []struct {
		name, file string
		// want is in the error; empty: there is none.
		want []string
	}{
		{name: "a file with nothing but its kind is the default", file: configHeader},
		{
			name: "providers, limits and all",
			file: configHeader + `
providers:
- name: kubeconfig-secretreader
  kubeconfigSecret: {namespaces: [a, b]}
limits: {maxInFlight: 5, breaker: {failures: 2, openSeconds: 90}}
`,
		},
		{name: "a file without a kind", file: "providers: []\n", want: []string{"Kind"}},
		{name: "a file of another version", file: "apiVersion: config.clusterpass.dev/v9\nkind: AccessConfiguration\n", want: []string{"v9"}},
		{name: "an unknown field", file: configHeader + "provider: []\n", want: []string{`unknown field "provider"`}},
		{name: "a field twice", file: configHeader + "limits: {}\nlimits: {}\n", want: []string{"limits"}},
		{
			name: "a provider that is nothing, or two things, or nameless, or twice",
			file: configHeader + "providers:\n- name: a\n" +
				"- name: a\n  kubeconfigSecret: {}\n  exec: {command: /p, servers: []}\n- kubeconfigSecret: {}\n",
			want: []string{"providers[0]: Required", "providers[1].exec: Forbidden", "providers[1].name: Duplicate", "providers[2].name: Required"},
		},
		{
			name: "namespaces that are none",
			file: configHeader + "providers:\n- name: a\n  kubeconfigSecret: {namespaces: [\"*\", x, x]}\n",
			want: []string{"providers[0].kubeconfigSecret.namespaces[0]: Invalid", "namespaces[2]: Duplicate"},
		},
		{
			name: "limits out of bounds",
			file: configHeader + "limits: {maxInFlight: -1, breaker: {failures: 1001, openSeconds: 10, maxOpenSeconds: 9}}\n",
			want: []string{"limits.maxInFlight: Invalid", "limits.breaker.failures: Invalid", "limits.breaker.maxOpenSeconds: Invalid"},
		},
		{
			name: "providers of other platforms' clusters",
			file: configHeader + `
providers:
- {name: karmada, karmadaSecret: {profileNamespace: fleet}}
- {name: cluster-api, clusterAPISecret: {namespaces: [a, b]}}
`,
		},
		{
			name: "providers of other platforms' clusters, without namespaces and twice",
			file: configHeader + `
providers:
- {name: karmada, karmadaSecret: {namespaces: ["*"]}}
- {name: cluster-api, clusterAPISecret: {}}
- {name: other, karmadaSecret: {profileNamespace: fleet}, clusterAPISecret: {namespaces: [a]}}
`,
			want: []string{
				"providers[0].karmadaSecret.namespaces[0]: Invalid", "providers[0].karmadaSecret.profileNamespace: Invalid",
				"providers[1].clusterAPISecret.namespaces: Required", "providers[2].clusterAPISecret: Forbidden",
				"providers[2].karmadaSecret: Forbidden: another provider has it",
			},
		},
		{
			name: "two platforms with Secrets in one namespace",
			file: configHeader + `
providers:
- {name: cluster-api, clusterAPISecret: {namespaces: [a, b, karmada-cluster]}}
- {name: karmada, karmadaSecret: {namespaces: [b, c], profileNamespace: a}}
`,
			want: []string{"providers[1].karmadaSecret.namespaces: Invalid value: \"b\": the Secrets of another platform are read from there"},
		},
		{
			name: "the same in the other order, by default",
			file: configHeader + `
providers:
- {name: karmada, karmadaSecret: {profileNamespace: fleet}}
- {name: cluster-api, clusterAPISecret: {namespaces: [karmada-cluster]}}
`,
			want: []string{"providers[1].clusterAPISecret.namespaces: Invalid value: \"karmada-cluster\""},
		},
		{name: "an exec provider", file: exec("    certificateAuthorityData: " + ca + "\n    env: [{name: A, value: b}]\n" + proxies)},
		{name: "an exec provider without a CA", file: exec(""), want: []string{"providers[0].exec.certificateAuthorityData: Required"}},
		{
			name: "an exec provider with what is no CA",
			file: exec("    certificateAuthorityData: YWJj\n"),
			want: []string{"providers[0].exec.certificateAuthorityData: Invalid"},
		},
		{
			name: "an exec provider that is wrong all over",
			file: configHeader + `
providers:
- name: plugin
  exec:
    apiVersion: v1
    command: plugin
    env: [{name: "", value: x}]
    servers: ["https://*", "http://a.example.com"]
    proxyURLs: ["http://user:secret@proxy"]
`,
			want: []string{
				"exec.apiVersion: Unsupported", "exec.command: Invalid", "exec.env[0].name: Required",
				"exec.servers[0]: Invalid", "exec.servers[1]: Invalid", "exec.proxyURLs[0]: Invalid",
			},
		},
		{name: "an exec provider for one server", file: leading(`["https://a.fleet:6443"]`, "")},
		{
			name: "an exec provider for any port of a server, and no word about who may lead where",
			file: leading(`["https://a.fleet:*"]`, ""), want: []string{unbound, "a user who edits the status of one"},
		},
		{name: "one for a domain, and no word", file: leading(`["https://*.fleet"]`, ""), want: []string{unbound}},
		{name: "one for paths of a server, and no word", file: leading(`["https://fleet/clusters/*"]`, ""), want: []string{unbound}},
		{
			name: "one for two servers, and no word",
			file: leading(`["https://a.fleet", "https://b.fleet"]`, "    bindings: []\n"), want: []string{unbound},
		},
		{
			name: "one for a server behind a proxy or none, and no word",
			file: leading(`["https://10.0.0.1"]`, proxies), want: []string{unbound},
		},
		{
			name: "servers bound to namespaces and to profiles",
			file: leading(`["https://*.fleet", "https://*.edge:*"]`, `
    bindings:
    - namespaces: [fleet]
    - {servers: ["https://a.edge:6443"], profiles: [{namespace: edge, name: a}]}
    - {servers: ["https://*.edge:6443"], namespaces: [edge], profiles: [{namespace: fleet, name: b}]}
`),
		},
		{
			name: "bindings that bind nothing",
			file: leading(`["https://*.fleet"]`, `
    bindings:
    - {}
    - servers: ["https://a.fleet"]
    - {servers: ["https://a.fleet:6443", "https://a.elsewhere", "https://*.*.fleet", "http://a.fleet"], namespaces: ["*", x, x]}
    - {profiles: [{namespace: "", name: A_B}, {namespace: x, name: a}, {namespace: x, name: a}]}
`),
			want: []string{
				"bindings[0]: Required", "bindings[1]: Required",
				"bindings[2].servers[0]: Invalid", "bindings[2].servers[1]: Invalid", "bindings[2].servers[2]: Invalid",
				"bindings[2].servers[3]: Invalid", "bindings[2].namespaces[0]: Invalid", "bindings[2].namespaces[2]: Duplicate",
				"bindings[3].profiles[0].namespace: Invalid", "bindings[3].profiles[0].name: Invalid", "bindings[3].profiles[2]: Duplicate",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "access.yaml")
			require.NoError(t, os.WriteFile(path, []byte(test.file), 0o600))
			config, err := LoadFile(path)
			if test.want == nil {
				require.NoError(t, err)
				require.Empty(t, Validate(config))
				return
			}
			require.Error(t, err)
			for _, want := range test.want {
				assert.Contains(t, err.Error(), want)
			}
			assert.NotContains(t, err.Error(), "user:secret")
		})
	}
}

func TestDefaultConfig(t *testing.T) {
	assert.Equal(t, &configv1alpha1.AccessConfiguration{
		Providers: []configv1alpha1.AccessProvider{{
			Name:             "kubeconfig-secretreader",
			KubeconfigSecret: &configv1alpha1.KubeconfigSecretProvider{Namespaces: []string{"clusterpass-system"}},
		}},
		Limits: configv1alpha1.Limits{
			MaxInFlight: 32,
			Breaker:     configv1alpha1.Breaker{Failures: 5, OpenSeconds: 5, MaxOpenSeconds: 60},
		},
	}, DefaultConfig())
}

func TestLoadFile_NotFound(t *testing.T) {
	_, err := LoadFile(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}
