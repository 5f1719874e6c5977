// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"sigs.k8s.io/cluster-inventory-api/pkg/credentialplugin"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

var _ credentialplugin.Provider = &Plugin{}

// execFor returns what client-go says to the plugin of a client for cluster.
func execFor(cluster *clientauthenticationv1.Cluster) clientauthenticationv1.ExecCredential {
	return clientauthenticationv1.ExecCredential{Spec: clientauthenticationv1.ExecCredentialSpec{Cluster: cluster}}
}

// The plugin asks for what the ClusterProfile says.
func TestPlugin_GetToken(t *testing.T) {
	type client = clientauthenticationv1.Cluster
	for name, test := range map[string]struct {
		change func(*client)
		want   string
		err    string
	}{
		"a token of the cluster that the extension names": {want: "token-1-for-fleet/bravelion"},
		"a ServiceAccount is named for the user": {want: "token-1-for-fleet/bravelion", change: func(c *client) {
			c.Config.Raw = []byte(`{"targetClusterProfile":{"namespace":"fleet","name":"bravelion"}}`)
		}},
		"no server":    {change: func(c *client) { c.Server = "" }, err: "provideClusterInfo"},
		"no extension": {change: func(c *client) { c.Config.Raw = nil }, err: "no extension " + ExecExtension},
		"annotations, which the requester alone may set": {change: func(c *client) { c.Config.Raw = []byte(`{"annotations":{"ticket":"1"}}`) },
			err: "unknown field"},
		"a misspelt field": {change: func(c *client) { c.Config.Raw = []byte(`{"clusterRole":["view"]}`) }, err: "unknown field"},
		"no cluster":       {change: func(c *client) { c.Config.Raw = []byte(`{"serviceAccountName":"work"}`) }, err: "which ClusterProfile"},
		"the name of the cluster alone": {change: func(c *client) { c.Config.Raw = []byte(`{"clusterName":"bravelion"}`) },
			err: "--profile-namespace"},
		"another server": {change: func(c *client) { c.Server = "https://thief.example.com" }, err: "handed out"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			cluster := &client{Server: hub.cluster.Server, CertificateAuthorityData: hub.cluster.CertificateAuthorityData}
			cluster.Config.Raw = []byte(`{"targetClusterProfile":{"namespace":"fleet","name":"bravelion"},"serviceAccountName":"work"}`)
			if test.change != nil {
				test.change(cluster)
			}
			plugin := &Plugin{Source: &Source{minter: hub, clock: hub.clock}}
			status, err := plugin.GetToken(t.Context(), execFor(cluster))
			assert.Empty(t, hub.searched, "nobody is asked where the ClusterProfile is named, or may not be found")
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.Empty(t, status.Token)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, status.Token)
			assert.NotEmpty(t, hub.requests[0].ServiceAccountName)
			assert.Equal(t, hub.clock.Now().Add(refreshAfter), status.ExpirationTimestamp.Time)
		})
	}
	_, err := (&Plugin{}).GetToken(t.Context(), clientauthenticationv1.ExecCredential{})
	require.ErrorContains(t, err, "provideClusterInfo")
	assert.Equal(t, "clusterpass", (&Plugin{}).Name())
}

// Access providers that others have written say less, and flags the rest.
func TestPlugin_Target(t *testing.T) {
	const (
		ours   = `{"targetClusterProfile":{"namespace":"theirs","name":"smartfish","uid":"1"},"serviceAccountName":"work"}`
		byName = `{"clusterName":"bravelion"}`
		plugin = `{"audience":"hub","secret":{"name":"a"}}`
	)
	bravelion := v1alpha1.ClusterProfileReference{Namespace: "fleet", Name: "bravelion"}
	found := v1alpha1.ClusterProfileReference{Namespace: "fleet", Name: "lion", UID: "2"}
	smartfish := v1alpha1.ClusterProfileReference{Namespace: "theirs", Name: "smartfish", UID: "1"}
	none := errors.New("both a and b")
	for name, test := range map[string]struct {
		target    Target
		extension string
		noCluster bool
		notFound  error
		want      v1alpha1.ClusterProfileReference
		searched  []string
		err       string
	}{
		"the name of the cluster, in the namespace": {target: Target{Namespace: "fleet"}, extension: byName, want: bravelion},
		"the name with more is not the name alone": {target: Target{Namespace: "fleet"}, err: "unknown field",
			extension: `{"clusterName":"bravelion","clusterRoles":[{"name":"view"}]}`},
		"an extension of ours wins over the namespace": {target: Target{Namespace: "fleet"}, extension: ours, want: smartfish},
		"no extension: the server":                     {target: Target{Namespace: "fleet"}, want: found, searched: []string{"fleet"}},
		"an extension for another plugin: the server": {target: Target{Namespace: "fleet"}, extension: plugin, want: found,
			searched: []string{"fleet"}},
		"an extension that is no object: the server": {target: Target{Namespace: "fleet"}, extension: `null`, want: found,
			searched: []string{"fleet"}},
		"ours without a name: the server": {target: Target{Namespace: "fleet"}, extension: `{"clusterRoles":[{"name":"view"}]}`, want: found,
			searched: []string{"fleet"}},
		"two that fit": {target: Target{Namespace: "fleet"}, notFound: none, searched: []string{"fleet"}, err: "both a and b"},
		"a misspelt field of ours": {target: Target{Namespace: "fleet"}, err: "unknown field",
			extension: `{"serviceAccountName":"work","clusterRole":["view"]}`},
		"the profile of the flag, and no extension":         {target: Target{Profile: "fleet/bravelion"}, want: bravelion},
		"the profile of the flag wins over one of ours":     {target: Target{Profile: "fleet/bravelion"}, extension: ours, want: bravelion},
		"the profile of the flag wins over the name":        {target: Target{Profile: "fleet/bravelion"}, extension: byName, want: bravelion},
		"the profile of the flag, for another plugin":       {target: Target{Profile: "fleet/bravelion"}, extension: plugin, want: bravelion},
		"the profile of the flag, and a client that is old": {target: Target{Profile: "fleet/bravelion"}, noCluster: true, want: bravelion},
		"the profile of the flag and a namespace":           {target: Target{Profile: "fleet/bravelion", Namespace: "a"}, want: bravelion},
		"a namespace, and a client that is old":             {target: Target{Namespace: "fleet"}, noCluster: true, err: "provideClusterInfo"},
		"a profile without a namespace":                     {target: Target{Profile: "bravelion"}, err: "is not NAMESPACE/NAME"},
		"a profile with a slash too many":                   {target: Target{Profile: "a/b/c"}, err: "is not NAMESPACE/NAME"},
		"a profile without a name":                          {target: Target{Profile: "a/"}, err: "is not NAMESPACE/NAME"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t)
			hub.found, hub.notFound = found, test.notFound
			cluster := &clientauthenticationv1.Cluster{
				Server: hub.cluster.Server, CertificateAuthorityData: hub.cluster.CertificateAuthorityData,
			}
			cluster.Config.Raw = []byte(test.extension)
			if test.noCluster {
				cluster = nil
			}
			plugin := &Plugin{Source: hub.source(t, cacheDir(t), 1), Target: test.target}
			status, err := plugin.GetToken(t.Context(), execFor(cluster))
			assert.Equal(t, test.searched, hub.searched)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.Empty(t, status.Token)
				assert.Empty(t, hub.requests)
				return
			}
			require.NoError(t, err)
			require.Len(t, hub.requests, 1)
			assert.Equal(t, test.want, hub.requests[0].TargetClusterProfile)
		})
	}
}

// Cached tokens are of one ClusterProfile each, however it was named.
func TestPlugin_TargetCache(t *testing.T) {
	hub := newFakeHub(t)
	dir := cacheDir(t)
	cluster := &clientauthenticationv1.Cluster{
		Server: hub.cluster.Server, CertificateAuthorityData: hub.cluster.CertificateAuthorityData,
	}
	token := func(target Target, extension string, found v1alpha1.ClusterProfileReference) string {
		hub.found = found
		cluster := cluster.DeepCopy()
		cluster.Config.Raw = []byte(extension)
		status, err := (&Plugin{Source: hub.source(t, dir, 1), Target: target}).GetToken(t.Context(), execFor(cluster))
		require.NoError(t, err)
		return status.Token
	}
	none := v1alpha1.ClusterProfileReference{}
	of := func(name, uid string) v1alpha1.ClusterProfileReference {
		return v1alpha1.ClusterProfileReference{Namespace: "a", Name: name, UID: types.UID(uid)}
	}
	first := token(Target{Profile: "a/m"}, "", none)
	assert.Equal(t, "token-1-for-a/m", first)
	assert.Equal(t, first, token(Target{Namespace: "a"}, `{"clusterName":"m"}`, none), "the same ClusterProfile")
	assert.Equal(t, "token-2-for-b/m", token(Target{Namespace: "b"}, `{"clusterName":"m"}`, none), "of another namespace")
	assert.Equal(t, "token-3-for-a/n", token(Target{Namespace: "a"}, `{"clusterName":"n"}`, none), "of another name")
	assert.Equal(t, "token-4-for-a/m", token(Target{Namespace: "a"}, "", of("m", "1")), "found, with its UID")
	assert.Equal(t, "token-5-for-a/m", token(Target{Namespace: "a"}, "", of("m", "2")), "one that has replaced it")
	assert.Equal(t, "token-6-for-a/x", token(Target{Namespace: "a"}, "", of("x", "3")))
}
