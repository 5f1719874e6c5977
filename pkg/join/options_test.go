// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/mint"
)

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string
	}{
		"nothing of what is plain":                   {func(*Options) {}, ""},
		"an address without TLS":                     {func(o *Options) { o.Member.Endpoint.Server = "http://member" }, "not a URL https://"},
		"an address with a user in it":               {func(o *Options) { o.Member.Endpoint.Server = "https://a:b@member" }, "without a user"},
		"a member that is not verified":              {func(o *Options) { o.Member.Endpoint.InsecureSkipTLSVerify = true }, "insecure-skip-tls-verify"},
		"all ClusterRoles by a wildcard":             {func(o *Options) { o.Allowed.ClusterRoles = []string{"*"} }, "--allow-all-cluster-roles"},
		"some ClusterRoles by a wildcard":            {func(o *Options) { o.Allowed.ClusterRoles = []string{"view", "team-*"} }, "there are no wildcards here"},
		"clusterpass's own role":                     {func(o *Options) { o.Allowed.ClusterRoles = []string{"clusterpass"} }, "clusterpass's own"},
		"its role for rules":                         {func(o *Options) { o.Allowed.ClusterRoles = []string{"clusterpass:allow-rules"} }, "clusterpass's own"},
		"no role at all":                             {func(o *Options) { o.Allowed.ClusterRoles = nil }, "at least one ClusterRole"},
		"all roles and some":                         {func(o *Options) { o.Allowed.AllClusterRoles = true }, "exclude each other"},
		"kube-system":                                {func(o *Options) { o.Allowed.Namespaces = []string{"default", "kube-system"} }, "kube-system is never allowed"},
		"kube-public":                                {func(o *Options) { o.Allowed.Namespaces = []string{"kube-public"} }, "never allowed"},
		"clusterpass's namespace":                    {func(o *Options) { o.Allowed.Namespaces = []string{"clusterpass-system"} }, "never allowed"},
		"namespaces by a wildcard":                   {func(o *Options) { o.Allowed.Namespaces = []string{"*"} }, "no wildcards"},
		"no namespace":                               {func(o *Options) { o.Allowed.Namespaces = nil }, "at least one namespace"},
		"a namespace that can't be":                  {func(o *Options) { o.Allowed.Namespaces = []string{"Team"} }, `namespace "Team"`},
		"a name that can't be":                       {func(o *Options) { o.Name = "Brave Lion" }, "not the name of a ClusterProfile"},
		"a label that is clusterpass's":              {func(o *Options) { o.Labels = map[string]string{"clusterpass.dev/member-kubeconfig": "true"} }, "is set by clusterpass"},
		"a label that says another cluster manager":  {func(o *Options) { o.Labels = map[string]string{managerLabel: "other"} }, "is set by clusterpass"},
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
		})
	}
}

func TestReservedNamespacesAreThoseOfTheServer(t *testing.T) {
	assert.Equal(t, mint.ReservedNamespaces, reservedNamespaces)
}

func TestWideOpenModesAreWarnedOf(t *testing.T) {
	assert.Empty(t, (&Allowed{ClusterRoles: []string{"view"}}).warnings())
	assert.Empty(t, (&Allowed{ClusterRoles: []string{"cluster-admin"}, Rules: true}).warnings())
	assert.Len(t, (&Allowed{ClusterRoles: []string{"view"}, Rules: true}).warnings(), 1)
	assert.Len(t, (&Allowed{AllClusterRoles: true}).warnings(), 1)
}
