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
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

func TestParseExec(t *testing.T) {
	t.Run("the version of the answer is that of the question", func(t *testing.T) {
		ask := func(version string) string {
			return `{"apiVersion":"client.authentication.k8s.io/` + version + `","kind":"ExecCredential","spec":{"interactive":false,
			"cluster":{"server":"https://bravelion.example.com","certificate-authority-data":"Y2E=","config":{"serviceAccountName":"work"}}}}`
		}
		for name, test := range map[string]struct{ info, want string }{
			"v1":      {ask("v1"), "client.authentication.k8s.io/v1"},
			"v1beta1": {ask("v1beta1"), "client.authentication.k8s.io/v1beta1"},
			"nobody":  {"", "client.authentication.k8s.io/v1"},
		} {
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
		for _, info := range []string{"{", `{"apiVersion":"v1","kind":"Secret"}`,
			`{"apiVersion":"client.authentication.k8s.io/v1alpha1","kind":"ExecCredential"}`} {
			_, err := ParseExec(info)
			assert.ErrorContains(t, err, ExecInfoEnv, info)
		}
	})
}

// Where a token may go.
func TestCheckDestination(t *testing.T) {
	type client = clientauthenticationv1.Cluster
	ours, next, thief := newAuthority(t, "ours"), newAuthority(t, "next"), newAuthority(t, "thief")
	both := append(append([]byte{}, ours...), next...)
	const address = "https://bravelion.example.com:6443"
	server := func(address string, authorities []byte) v1alpha1.Cluster {
		return v1alpha1.Cluster{Server: address, CertificateAuthorityData: authorities}
	}
	to := func(address string, authorities []byte) client {
		return client{Server: address, CertificateAuthorityData: authorities}
	}
	hub, ofSystem := server(address, ours), server(address, nil)
	named := hub
	named.TLSServerName = "kubernetes"
	for name, test := range map[string]struct {
		to  client
		hub v1alpha1.Cluster
		// err is empty if the token may go there.
		err string
	}{
		"the same server and authority": {to(address, ours), hub, ""},
		"the same server, written in another way": {
			to("https://BRAVELION.example.com/", append([]byte("# CA\n"), ours...)), server("https://bravelion.example.com:443", ours), "",
		},
		"the authorities of the system on both sides":         {to(address, nil), ofSystem, ""},
		"one authority of the two that the hub names":         {to(address, next), server(address, both), ""},
		"one authority more":                                  {to(address, both), hub, "which the hub does not name"},
		"another authority":                                   {to(address, thief), hub, "which the hub does not name"},
		"the authorities of the system in place of the hub's": {to(address, nil), hub, "only one of the client and the hub has any"},
		"an authority in place of the system's":               {to(address, thief), ofSystem, "only one of the client and the hub has any"},
		"no authority, in some bytes":                         {to(address, []byte("none")), hub, "not PEM"},
		"another host":                                        {to("https://thief.example.com:6443", ours), hub, "thief.example.com"},
		"another port":                                        {to("https://bravelion.example.com", ours), hub, "the client's server"},
		"another path, which a proxy may send elsewhere": {
			to(address+"/smartfish", ours), server(address+"/bravelion", ours), "the client's server",
		},
		"another host that looks like the right one": {to(address+"@thief.example.com:6443", ours), hub, "the client's server"},
		"no encryption": {
			to("http://bravelion.example.com:6443", nil), server("http://bravelion.example.com:6443", nil), "the client's server",
		},
		"no verification": {
			client{Server: address, CertificateAuthorityData: ours, InsecureSkipTLSVerify: true}, hub, "insecure-skip-tls-verify",
		},
		"the name that the hub expects in the certificate": {
			client{Server: address, CertificateAuthorityData: ours, TLSServerName: "kubernetes"}, named, "",
		},
		"the name left out, as upstream's access library does": {to(address, ours), named, ""},
		"another name": {client{Server: address, CertificateAuthorityData: ours, TLSServerName: "thief"}, hub, "tls-server-name"},
		"a proxy of the client's own": {
			client{Server: address, CertificateAuthorityData: ours, ProxyURL: "http://proxy.example.com"}, hub, "",
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
