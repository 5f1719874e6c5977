// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/test/testenv"
)

// theirProvider is the name of an access provider that another cluster manager writes.
const theirProvider = "open-cluster-management"

// theirs returns the stored ClusterProfile default/name with an access provider that another
// cluster manager has written for the member, with an extension unless it is empty.
func theirs(t *testing.T, name string, member *testenv.Cluster, extension string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	provider := inventoryv1alpha1.AccessProvider{Name: theirProvider, Cluster: clientcmdv1.Cluster{
		Server: member.Server(), CertificateAuthorityData: member.CA(),
	}}
	if extension != "" {
		provider.Cluster.Extensions = []clientcmdv1.NamedExtension{{
			Name: credential.ExecExtension, Extension: runtime.RawExtension{Raw: []byte(extension)},
		}}
	}
	client := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	profile := testenv.Get(t, client, name)
	same := func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == theirProvider }
	profile.Status.AccessProviders = append(slices.DeleteFunc(profile.Status.AccessProviders, same), provider)
	return testenv.UpdateStatus(t, client, profile)
}

// Access providers of other cluster managers lead to members, through upstream's access library.
func TestPlugin_Others(t *testing.T) {
	tests := map[string]struct{ extension, user string }{
		"the name of the cluster alone":            {`{"clusterName":"%"}`, seeker},
		"the name, by a user who may list nothing": {`{"clusterName":"%"}`, consumer},
		"no extension": {"", seeker},
		"an extension for the plugin of the other manager": {`{"credentialSecret":{"name":"%"}}`, seeker},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			from := libraryFor(t, newHome(t, test.user), theirProvider, v1, "--profile-namespace=default", "--cluster-role=view")
			for _, member := range []*testenv.Cluster{shared.Bravelion, shared.Smartfish} {
				profile := theirs(t, member.Name(), member, strings.ReplaceAll(test.extension, "%", member.Name()))
				client := client(t, from, profile)
				who, _, err := identity(t.Context(), client)
				require.NoError(t, err, member.Name())
				assert.Regexp(t, "^system:serviceaccount:default:clusterpass-"+test.user+"-[0-9a-f]{8}$", who)
				_, err = client.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
				assert.NoError(t, err, member.Name())
			}
		})
	}
}

// What the access provider of another manager says gives no token where it is not certain.
func TestPlugin_OthersRefused(t *testing.T) {
	here := "--profile-namespace=default"
	tests := map[string]struct {
		user, extension string
		args            []string
		want            []string
		// twin has another ClusterProfile with the same server and authority.
		twin bool
	}{
		"nothing says which": {user: seeker, want: []string{"no extension", "--profile-namespace"}},
		"no namespace": {user: seeker, extension: `{"clusterName":"bravelion"}`,
			want: []string{"say the namespace", "--profile-namespace"}},
		"another namespace": {user: seeker, args: []string{"--profile-namespace=kube-system"},
			want: []string{seeker, "cannot list", "clusterprofiles"}},
		"no right to look": {user: consumer, args: []string{here},
			want: []string{consumer, "cannot list", "clusterprofiles", "--profile names it"}},
		"two that fit": {user: seeker, args: []string{here}, twin: true, want: []string{"both bravelion and twin"}},
		"the name of another": {user: seeker, extension: `{"clusterName":"smartfish"}`, args: []string{here},
			want: []string{"no token of cluster default/smartfish"}},
		"the name of nothing": {user: seeker, extension: `{"clusterName":"none"}`, args: []string{here},
			want: []string{"default/none", "not found"}},
		"the flag for another": {user: seeker, args: []string{"--profile=default/smartfish"},
			want: []string{"no token of cluster default/smartfish"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			profile := theirs(t, "bravelion", shared.Bravelion, test.extension)
			if test.twin {
				client := shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
				testenv.Create(t, client, testenv.NewProfile("twin", "another"))
				defer func() { assert.NoError(t, client.Delete(t.Context(), "twin", metav1.DeleteOptions{})) }()
				theirs(t, "twin", shared.Bravelion, "")
			}
			stdout, stderr, err := runPlugin(t, newHome(t, test.user), clusterOf(t, profile, theirProvider), test.args...)
			require.Error(t, err)
			assert.Empty(t, stdout)
			for _, want := range test.want {
				assert.Contains(t, stderr, want)
			}
		})
	}
	t.Run("no profile with the server", func(t *testing.T) {
		cluster := clusterOf(t, theirs(t, "bravelion", shared.Bravelion, ""), theirProvider)
		cluster.Server = "https://elsewhere.example.com"
		stdout, stderr, err := runPlugin(t, newHome(t, seeker), cluster, here)
		require.Error(t, err)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "none has an access provider with this server")
	})
}

// A program that does not say which cluster it is about, as Argo CD before 3.5, names the
// ClusterProfile by a flag.
func TestPlugin_Profile(t *testing.T) {
	h := newHome(t, consumer)
	for _, member := range []*testenv.Cluster{shared.Bravelion, shared.Smartfish} {
		client := testenv.Kube(t, &rest.Config{
			Host: member.Server(), TLSClientConfig: rest.TLSClientConfig{CAData: member.CA()},
			ExecProvider: &clientcmdapi.ExecConfig{
				APIVersion: v1beta1, Command: shared.plugin, InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
				Args: []string{"--kubeconfig=" + h.kubeconfig, "--profile=default/" + member.Name(), "--service-account=old-client",
					"--cluster-role=view"},
				Env: []clientcmdapi.ExecEnvVar{{Name: "HOME", Value: h.dir}},
			},
		})
		who, _, err := identity(t.Context(), client)
		require.NoError(t, err, member.Name())
		assert.Equal(t, "system:serviceaccount:default:old-client", who)
	}
	assert.Len(t, h.cached(t), 2, "one for each ClusterProfile")
}
