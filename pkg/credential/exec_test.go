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
