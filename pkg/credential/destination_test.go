// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// Where a token may go.
func TestCheckDestination(t *testing.T) {
	ours, next, thief := newAuthority(t, "ours"), newAuthority(t, "next"), newAuthority(t, "thief")
	both := append(append([]byte{}, ours...), next...)
	const server = "https://bravelion.example.com:6443"
	tests := []struct {
		name string
		to   clientauthenticationv1.Cluster
		hub  v1alpha1.Cluster
		// err is empty if the token may go there.
		err string
	}{
		{
			name: "the same server and authority",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
		},
		{
			name: "the same server, written in another way",
			to:   clientauthenticationv1.Cluster{Server: "https://BRAVELION.example.com/", CertificateAuthorityData: append([]byte("# CA\n"), ours...)},
			hub:  v1alpha1.Cluster{Server: "https://bravelion.example.com:443", CertificateAuthorityData: ours},
		},
		{
			name: "the authorities of the system on both sides",
			to:   clientauthenticationv1.Cluster{Server: server},
			hub:  v1alpha1.Cluster{Server: server},
		},
		{
			name: "one authority of the two that the hub names",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: next},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: both},
		},
		{
			name: "one authority more",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: both},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "which the hub does not name",
		},
		{
			name: "another authority",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: thief},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "which the hub does not name",
		},
		{
			name: "the authorities of the system in place of the hub's",
			to:   clientauthenticationv1.Cluster{Server: server},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "only one of the client and the hub has any",
		},
		{
			name: "an authority in place of the system's",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: thief},
			hub:  v1alpha1.Cluster{Server: server},
			err:  "only one of the client and the hub has any",
		},
		{
			name: "no authority, in some bytes",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: []byte("none")},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "not PEM",
		},
		{
			name: "another host",
			to:   clientauthenticationv1.Cluster{Server: "https://thief.example.com:6443", CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "thief.example.com",
		},
		{
			name: "another port",
			to:   clientauthenticationv1.Cluster{Server: "https://bravelion.example.com", CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "the client's server",
		},
		{
			name: "another path, which a proxy may send elsewhere",
			to:   clientauthenticationv1.Cluster{Server: server + "/smartfish", CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server + "/bravelion", CertificateAuthorityData: ours},
			err:  "the client's server",
		},
		{
			name: "another host that looks like the right one",
			to:   clientauthenticationv1.Cluster{Server: "https://bravelion.example.com:6443@thief.example.com:6443", CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "the client's server",
		},
		{
			name: "no encryption",
			to:   clientauthenticationv1.Cluster{Server: "http://bravelion.example.com:6443"},
			hub:  v1alpha1.Cluster{Server: "http://bravelion.example.com:6443"},
			err:  "the client's server",
		},
		{
			name: "no verification",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours, InsecureSkipTLSVerify: true},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "insecure-skip-tls-verify",
		},
		{
			name: "the name that the hub expects in the certificate",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours, TLSServerName: "kubernetes"},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours, TLSServerName: "kubernetes"},
		},
		{
			name: "the name left out, as upstream's access library does",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours, TLSServerName: "kubernetes"},
		},
		{
			name: "another name",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours, TLSServerName: "thief"},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
			err:  "tls-server-name",
		},
		{
			name: "a proxy of the client's own",
			to:   clientauthenticationv1.Cluster{Server: server, CertificateAuthorityData: ours, ProxyURL: "http://proxy.example.com"},
			hub:  v1alpha1.Cluster{Server: server, CertificateAuthorityData: ours},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := checkDestination(&test.to, test.hub)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			assert.NoError(t, err)
		})
	}
}
