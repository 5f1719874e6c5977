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
	type change = func(*Options)
	server := func(url string) change { return func(o *Options) { o.Member.Endpoint.Server = url } }
	proxy := func(url string) change { return func(o *Options) { o.Member.Endpoint.ProxyURL = url } }
	roles := func(names ...string) change { return func(o *Options) { o.Allowed.ClusterRoles = names } }
	namespaces := func(names ...string) change { return func(o *Options) { o.Allowed.Namespaces = names } }
	label := func(key, value string) change { return func(o *Options) { o.Labels = map[string]string{key: value} } }
	for name, test := range map[string]struct {
		change change
		want   string
	}{
		"nothing of what is plain":      {func(*Options) {}, ""},
		"an address without TLS":        {server("http://member"), "must be https"},
		"an address with a user in it":  {server("https://a:b@member"), "must not have a user name"},
		"an address with a token in it": {server("https://s3cret@member"), "must not have a user name"},
		"an address with a query":       {server("https://member?__uid=s3cret"), "a query or a fragment; see --member-server"},
		"an address with a fragment":    {server("https://member#s3cret"), "a query or a fragment"},
		"an address with two slashes":   {server("https://member//k8s"), "segments"},
		"an address with port 0":        {server("https://member:0"), "no valid port"},
		"an address with a zone":        {server("https://[fe80::1%25eth0]"), "percent signs"},
		"a proxy":                       {proxy("http://proxy:3128"), ""},
		"a proxy with a password":       {proxy("http://u:s3cret@proxy"), "set HTTPS_PROXY in the environment"},
		"a proxy with a query":          {proxy("http://proxy?s3cret"), "proxy-url must not have a query"},
		"a CA that is none": {func(o *Options) { o.Member.Endpoint.CertificateAuthorityData = []byte("s3cret") },
			"its certificate-authority is not PEM certificates"},
		"a CA that no Secret can hold": {func(o *Options) { o.Member.Endpoint.CertificateAuthorityData = authorities(t, 900) },
			"takes 480 KiB at most"},
		"a member that is not verified": {func(o *Options) { o.Member.Endpoint.InsecureSkipTLSVerify = true },
			"insecure-skip-tls-verify"},
		"all ClusterRoles by a wildcard":             {roles("*"), "--allow-all-cluster-roles"},
		"some ClusterRoles by a wildcard":            {roles("view", "team-*"), "wildcards are not supported"},
		"clusterpass's own role":                     {roles("clusterpass"), "clusterpass's own"},
		"its role for rules":                         {roles("clusterpass:allow-rules"), "clusterpass's own"},
		"a namespace before a ClusterRole":           {roles("team-a/view"), "a ClusterRole has no namespace"},
		"no role at all":                             {roles(), "at least one ClusterRole"},
		"all roles and some":                         {func(o *Options) { o.Allowed.AllClusterRoles = true }, "exclude each other"},
		"kube-system":                                {namespaces("default", "kube-system"), "kube-system is never allowed"},
		"kube-public":                                {namespaces("kube-public"), "never allowed"},
		"clusterpass's namespace":                    {namespaces("clusterpass-system"), "never allowed"},
		"namespaces by a wildcard":                   {namespaces("*"), "wildcards are not supported"},
		"no namespace":                               {namespaces(), "at least one namespace"},
		"a namespace that can't be":                  {namespaces("Team"), `namespace "Team"`},
		"a name that can't be":                       {func(o *Options) { o.Name = "Brave Lion" }, "not the name of a ClusterProfile"},
		"a label that is clusterpass's":              {label("clusterpass.dev/member-kubeconfig", "true"), "is set by clusterpass"},
		"a label that says another cluster manager":  {label("x-k8s.io/cluster-manager", "other"), "is set by clusterpass"},
		"a label that can't be":                      {label("a b", "c"), "labels"},
		"a cluster manager that can't be in a label": {func(o *Options) { o.ClusterManager = "a b" }, "--cluster-manager"},
	} {
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

// Warnings say what is left out of an endpoint, and what will not work.
func TestCheckEndpoint(t *testing.T) {
	ca := authorities(t, 1)
	const key = "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"
	for name, test := range map[string]struct {
		profile, server string
		ca              []byte
		want            string
	}{
		"nothing of what is plain": {server: "https://member:6443", ca: ca},
		"a host that Kueue refuses": {server: "https://a_b.example.com",
			want: "ClusterCredentialSets of format kubeconfig, argocd, token will refuse this cluster, as Kueue or Argo CD would: the host"},
		"the name that Argo CD has for its own cluster": {profile: "in-cluster", server: "https://member",
			want: "of format argocd will refuse this cluster"},
		"the server that Argo CD has for its own cluster": {server: "https://kubernetes.default.svc",
			want: "of format argocd will refuse this cluster"},
		"a key beside the CA": {server: "https://member", ca: slices.Concat([]byte(key), ca),
			want: `certificate-authority of the member: a block "PRIVATE KEY" is no certificate; it was ignored`},
		"a CA that is too large for exec plugins": {server: "https://member", ca: authorities(t, 100), want: "argument list too long"},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := clientcmdapi.Cluster{Server: test.server, CertificateAuthorityData: test.ca}
			clean, warnings := cleaned(cmp.Or(test.profile, "bravelion"), endpoint, time.Now())
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
