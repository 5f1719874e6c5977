// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"sigs.k8s.io/cluster-inventory-api/pkg/credentialplugin"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

var _ credentialplugin.Provider = &Plugin{}

func TestParseExec(t *testing.T) {
	t.Run("the version of the answer is that of the question", func(t *testing.T) {
		ask := func(version string) string {
			return `{"apiVersion":"client.authentication.k8s.io/` + version + `","kind":"ExecCredential","spec":{"interactive":false,
			"cluster":{"server":"https://bravelion.example.com","certificate-authority-data":"Y2E=","config":{"serviceAccountName":"work"}}}}`
		}
		tests := map[string]struct{ info, want string }{
			"v1":      {ask("v1"), "client.authentication.k8s.io/v1"},
			"v1beta1": {ask("v1beta1"), "client.authentication.k8s.io/v1beta1"},
			"nobody":  {"", "client.authentication.k8s.io/v1"},
		}
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				exec, err := ParseExec(test.info)
				require.NoError(t, err)
				if test.info != "" {
					require.NotNil(t, exec.Credential.Spec.Cluster)
					assert.Equal(t, "https://bravelion.example.com", exec.Credential.Spec.Cluster.Server)
					assert.Equal(t, "ca", string(exec.Credential.Spec.Cluster.CertificateAuthorityData))
					assert.JSONEq(t, `{"serviceAccountName":"work"}`, string(exec.Credential.Spec.Cluster.Config.Raw))
				}
				var out strings.Builder
				when := metav1.NewTime(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC))
				require.NoError(t, exec.Answer(&out, &clientauthenticationv1.ExecCredentialStatus{Token: "t", ExpirationTimestamp: &when}))
				var answer clientauthenticationv1.ExecCredential
				require.NoError(t, json.Unmarshal([]byte(out.String()), &answer))
				assert.Equal(t, test.want, answer.APIVersion)
				assert.Equal(t, "ExecCredential", answer.Kind)
				assert.Equal(t, "t", answer.Status.Token)
				assert.True(t, when.Equal(answer.Status.ExpirationTimestamp))
			})
		}
	})
	t.Run("questions that are none", func(t *testing.T) {
		for _, info := range []string{"{", `{"apiVersion":"v1","kind":"Secret"}`, `{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}`} {
			_, err := ParseExec(info)
			assert.ErrorContains(t, err, ExecInfoEnv, info)
		}
	})
}

// The plugin asks for what the ClusterProfile says.
func TestPlugin_GetToken(t *testing.T) {
	hub := newFakeHub(t)
	right := clientauthenticationv1.Cluster{Server: hub.cluster.Server, CertificateAuthorityData: hub.cluster.CertificateAuthorityData}
	extension := `{"targetClusterProfile":{"namespace":"fleet","name":"bravelion"},"serviceAccountName":"work"}`
	tests := []struct {
		name   string
		change func(*clientauthenticationv1.Cluster)
		in     clientauthenticationv1.Cluster
		want   string
		err    string
	}{
		{name: "a token of the cluster that the extension names", want: "token-1-for-fleet/bravelion"},
		{name: "no server", change: func(c *clientauthenticationv1.Cluster) { c.Server = "" }, err: "provideClusterInfo"},
		{name: "no extension", change: func(c *clientauthenticationv1.Cluster) { c.Config.Raw = nil }, err: "no extension " + ExecExtension},
		{name: "annotations, which the requester alone may set", change: func(c *clientauthenticationv1.Cluster) { c.Config.Raw = []byte(`{"annotations":{"ticket":"1"}}`) }, err: "unknown field"},
		{name: "a misspelt field", change: func(c *clientauthenticationv1.Cluster) { c.Config.Raw = []byte(`{"clusterRole":["view"]}`) }, err: "unknown field"},
		{name: "no cluster", change: func(c *clientauthenticationv1.Cluster) { c.Config.Raw = []byte(`{"serviceAccountName":"work"}`) }, err: "which ClusterProfile"},
		{name: "another server", change: func(c *clientauthenticationv1.Cluster) { c.Server = "https://thief.example.com" }, err: "handed out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cluster := right.DeepCopy()
			cluster.Config = runtime.RawExtension{Raw: []byte(extension)}
			if test.change != nil {
				test.change(cluster)
			}
			hub.asked = 0
			plugin := &Plugin{Source: &Source{minter: hub, clock: hub.clock}}
			status, err := plugin.GetToken(t.Context(), clientauthenticationv1.ExecCredential{Spec: clientauthenticationv1.ExecCredentialSpec{Cluster: cluster}})
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				assert.Empty(t, status.Token)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, status.Token)
			assert.Equal(t, hub.clock.Now().Add(refreshAfter), status.ExpirationTimestamp.Time)
		})
	}
	_, err := (&Plugin{}).GetToken(t.Context(), clientauthenticationv1.ExecCredential{})
	require.ErrorContains(t, err, "provideClusterInfo")
	assert.Equal(t, "clusterpass", (&Plugin{}).Name())
}

// Where a token may go.
func TestCheckDestination(t *testing.T) {
	type client = clientauthenticationv1.Cluster
	ours, next, thief := newAuthority(t, "ours"), newAuthority(t, "next"), newAuthority(t, "thief")
	both := append(append([]byte{}, ours...), next...)
	const server = "https://bravelion.example.com:6443"
	hub := v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours}
	ofSystem := v1alpha1.Cluster{Server: server}
	ofBoth := v1alpha1.Cluster{Server: server, CertificateAuthorityData: both}
	named := v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours, TLSServerName: "kubernetes"}
	for name, test := range map[string]struct {
		to  client
		hub v1alpha1.Cluster
		// err is empty if the token may go there.
		err string
	}{
		"the same server and authority": {client{Server: server, CertificateAuthorityData: ours}, hub, ""},
		"the same server, written in another way": {
			client{Server: "https://BRAVELION.example.com/", CertificateAuthorityData: append([]byte("# CA\n"), ours...)},
			v1alpha1.Cluster{Server: "https://bravelion.example.com:443", CertificateAuthorityData: ours}, "",
		},
		"the authorities of the system on both sides": {client{Server: server}, ofSystem, ""},
		"one authority of the two that the hub names": {client{Server: server, CertificateAuthorityData: next}, ofBoth, ""},
		"one authority more": {
			client{Server: server, CertificateAuthorityData: both}, hub, "which the hub does not name",
		},
		"another authority": {
			client{Server: server, CertificateAuthorityData: thief}, hub, "which the hub does not name",
		},
		"the authorities of the system in place of the hub's": {
			client{Server: server}, hub, "only one of the client and the hub has any",
		},
		"an authority in place of the system's": {
			client{Server: server, CertificateAuthorityData: thief}, ofSystem, "only one of the client and the hub has any",
		},
		"no authority, in some bytes": {client{Server: server, CertificateAuthorityData: []byte("none")}, hub, "not PEM"},
		"another host": {
			client{Server: "https://thief.example.com:6443", CertificateAuthorityData: ours}, hub, "thief.example.com",
		},
		"another port": {
			client{Server: "https://bravelion.example.com", CertificateAuthorityData: ours}, hub, "the client's server",
		},
		"another path, which a proxy may send elsewhere": {
			client{Server: server + "/smartfish", CertificateAuthorityData: ours},
			v1alpha1.Cluster{Server: server + "/bravelion", CertificateAuthorityData: ours}, "the client's server",
		},
		"another host that looks like the right one": {
			client{Server: "https://bravelion.example.com:6443@thief.example.com:6443", CertificateAuthorityData: ours}, hub, "the client's server",
		},
		"no encryption": {
			client{Server: "http://bravelion.example.com:6443"},
			v1alpha1.Cluster{Server: "http://bravelion.example.com:6443"}, "the client's server",
		},
		"no verification": {
			client{Server: server, CertificateAuthorityData: ours, InsecureSkipTLSVerify: true}, hub, "insecure-skip-tls-verify",
		},
		"the name that the hub expects in the certificate": {
			client{Server: server, CertificateAuthorityData: ours, TLSServerName: "kubernetes"}, named, "",
		},
		"the name left out, as upstream's access library does": {
			client{Server: server, CertificateAuthorityData: ours}, named, "",
		},
		"another name": {
			client{Server: server, CertificateAuthorityData: ours, TLSServerName: "thief"}, hub, "tls-server-name",
		},
		"a proxy of the client's own": {
			client{Server: server, CertificateAuthorityData: ours, ProxyURL: "http://proxy.example.com"}, hub, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkDestination(&test.to, test.hub)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			assert.NoError(t, err)
		})
	}
}
