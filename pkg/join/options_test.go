// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"cmp"
	"encoding/pem"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
)

func TestOptions_Refusals(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"nothing of what is plain":                   {func(*Options) {}, ""},
		"an address without TLS":                     {func(o *Options) { o.Member.Endpoint.Server = "http://member" }, "must be https"},
		"an address with a user in it":               {func(o *Options) { o.Member.Endpoint.Server = "https://a:b@member" }, "must not have a user name"},
		"an address with a token in it":              {func(o *Options) { o.Member.Endpoint.Server = "https://s3cret@member" }, "must not have a user name"},
		"an address with a query":                    {func(o *Options) { o.Member.Endpoint.Server = "https://member?__uid=s3cret" }, "a query or a fragment; see --member-server"},
		"an address with a fragment":                 {func(o *Options) { o.Member.Endpoint.Server = "https://member#s3cret" }, "a query or a fragment"},
		"an address with two slashes":                {func(o *Options) { o.Member.Endpoint.Server = "https://member//k8s" }, "segments"},
		"an address with port 0":                     {func(o *Options) { o.Member.Endpoint.Server = "https://member:0" }, "no valid port"},
		"an address with a zone":                     {func(o *Options) { o.Member.Endpoint.Server = "https://[fe80::1%25eth0]" }, "percent signs"},
		"a proxy":                                    {func(o *Options) { o.Member.Endpoint.ProxyURL = "http://proxy:3128" }, ""},
		"a proxy with a password":                    {func(o *Options) { o.Member.Endpoint.ProxyURL = "http://u:s3cret@proxy" }, "set HTTPS_PROXY in the environment"},
		"a proxy with a query":                       {func(o *Options) { o.Member.Endpoint.ProxyURL = "http://proxy?s3cret" }, "proxy-url must not have a query"},
		"a CA that is none":                          {func(o *Options) { o.Member.Endpoint.CertificateAuthorityData = []byte("s3cret") }, "its certificate-authority is not PEM certificates"},
		"a CA that no Secret can hold":               {func(o *Options) { o.Member.Endpoint.CertificateAuthorityData = authorities(t, 900) }, "takes 480 KiB at most"},
		"a member that is not verified":              {func(o *Options) { o.Member.Endpoint.InsecureSkipTLSVerify = true }, "insecure-skip-tls-verify"},
		"all ClusterRoles by a wildcard":             {func(o *Options) { o.Allowed.ClusterRoles = []string{"*"} }, "--allow-all-cluster-roles"},
		"some ClusterRoles by a wildcard":            {func(o *Options) { o.Allowed.ClusterRoles = []string{"view", "team-*"} }, "wildcards are not supported"},
		"clusterpass's own role":                     {func(o *Options) { o.Allowed.ClusterRoles = []string{"clusterpass"} }, "clusterpass's own"},
		"its role for rules":                         {func(o *Options) { o.Allowed.ClusterRoles = []string{"clusterpass:allow-rules"} }, "clusterpass's own"},
		"a namespace before a ClusterRole":           {func(o *Options) { o.Allowed.ClusterRoles = []string{"team-a/view"} }, "a ClusterRole has no namespace"},
		"no role at all":                             {func(o *Options) { o.Allowed.ClusterRoles = nil }, "at least one ClusterRole"},
		"all roles and some":                         {func(o *Options) { o.Allowed.AllClusterRoles = true }, "exclude each other"},
		"kube-system":                                {func(o *Options) { o.Allowed.Namespaces = []string{"default", "kube-system"} }, "kube-system is never allowed"},
		"kube-public":                                {func(o *Options) { o.Allowed.Namespaces = []string{"kube-public"} }, "never allowed"},
		"clusterpass's namespace":                    {func(o *Options) { o.Allowed.Namespaces = []string{"clusterpass-system"} }, "never allowed"},
		"namespaces by a wildcard":                   {func(o *Options) { o.Allowed.Namespaces = []string{"*"} }, "wildcards are not supported"},
		"no namespace":                               {func(o *Options) { o.Allowed.Namespaces = nil }, "at least one namespace"},
		"a namespace that can't be":                  {func(o *Options) { o.Allowed.Namespaces = []string{"Team"} }, `namespace "Team"`},
		"a name that can't be":                       {func(o *Options) { o.Name = "Brave Lion" }, "not the name of a ClusterProfile"},
		"a label that is clusterpass's":              {func(o *Options) { o.Labels = map[string]string{"clusterpass.dev/member-kubeconfig": "true"} }, "is set by clusterpass"},
		"a label that says another cluster manager":  {func(o *Options) { o.Labels = map[string]string{"x-k8s.io/cluster-manager": "other"} }, "is set by clusterpass"},
		"a label that can't be":                      {func(o *Options) { o.Labels = map[string]string{"a b": "c"} }, "labels"},
		"a cluster manager that can't be in a label": {func(o *Options) { o.ClusterManager = "a b" }, "--cluster-manager"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			o := &Options{
				Target:  Target{Namespace: "default", Name: "bravelion", ClusterManager: DefaultClusterManager},
				Member:  Member{Endpoint: clientcmdapi.Cluster{Server: "https://member:6443"}},
				Allowed: Allowed{ClusterRoles: []string{"view"}, Namespaces: []string{"default"}},
			}
			test.change(o)
			err := o.Validate()
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), "s3cret")
		})
	}
}

// authorities returns a bundle with a CA as many times as count says.
func authorities(t *testing.T, count int) []byte {
	t.Helper()
	certificate, _, err := certutil.GenerateSelfSignedCertKeyWithFixtures("ca", nil, nil, "")
	require.NoError(t, err)
	first, _ := pem.Decode(certificate)
	return bytes.Repeat(pem.EncodeToMemory(first), count)
}

// What is left out of an endpoint is told, and what will not work.
func TestCheckEndpoint(t *testing.T) {
	ca := authorities(t, 1)
	for name, test := range map[string]struct {
		profile  string
		endpoint clientcmdapi.Cluster
		want     string
	}{
		"nothing of what is plain": {endpoint: clientcmdapi.Cluster{Server: "https://member:6443", CertificateAuthorityData: ca}},
		"a host that Kueue refuses": {
			endpoint: clientcmdapi.Cluster{Server: "https://a_b.example.com"},
			want:     "ClusterCredentialSets of format kubeconfig, argocd, token will refuse this cluster, as Kueue or Argo CD would: the host",
		},
		"the name that Argo CD has for its own cluster": {
			profile: "in-cluster", endpoint: clientcmdapi.Cluster{Server: "https://member"}, want: "of format argocd will refuse this cluster",
		},
		"the server that Argo CD has for its own cluster": {
			endpoint: clientcmdapi.Cluster{Server: "https://kubernetes.default.svc"}, want: "of format argocd will refuse this cluster",
		},
		"a key beside the CA": {
			endpoint: clientcmdapi.Cluster{Server: "https://member", CertificateAuthorityData: slices.Concat([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), ca)},
			want:     `certificate-authority of the member: a block "PRIVATE KEY" is no certificate; it was ignored`,
		},
		"a CA that is too large for exec plugins": {
			endpoint: clientcmdapi.Cluster{Server: "https://member", CertificateAuthorityData: authorities(t, 100)}, want: "argument list too long",
		},
	} {
		t.Run(name, func(t *testing.T) {
			clean, warnings := cleaned(cmp.Or(test.profile, "bravelion"), test.endpoint, time.Now())
			assert.NotContains(t, string(clean.CertificateAuthorityData), "PRIVATE KEY")
			if test.want == "" {
				assert.Empty(t, warnings)
				return
			}
			require.Len(t, warnings, 1)
			assert.Contains(t, warnings[0], test.want)
		})
	}
}

// Wide-open modes are warned of.
func TestAllowed_Warnings(t *testing.T) {
	assert.Empty(t, (&Allowed{ClusterRoles: []string{"view"}}).warnings())
	assert.Empty(t, (&Allowed{ClusterRoles: []string{"cluster-admin"}, Rules: true}).warnings())
	assert.Len(t, (&Allowed{ClusterRoles: []string{"view"}, Rules: true}).warnings(), 1)
	assert.Len(t, (&Allowed{AllClusterRoles: true}).warnings(), 1)
}
