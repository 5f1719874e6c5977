// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/cert"
)

func TestAuthority_Issue(t *testing.T) {
	ca, err := loadOrCreateAuthority(t.TempDir(), "ca", "ours")
	require.NoError(t, err)
	other, err := loadOrCreateAuthority(t.TempDir(), "ca", "ours")
	require.NoError(t, err)

	tests := []struct {
		name   string
		leaf   leaf
		verify x509.VerifyOptions
		wantOK bool
	}{
		{
			name: "a serving certificate is good for its hosts", leaf: leaf{hosts: []string{"localhost", loopback}},
			verify: x509.VerifyOptions{DNSName: loopback, KeyUsages: serverAuth}, wantOK: true,
		},
		{
			name: "a serving certificate is no good for another host", leaf: leaf{hosts: []string{"localhost"}},
			verify: x509.VerifyOptions{DNSName: "example.com", KeyUsages: serverAuth},
		},
		{
			name: "a serving certificate proves no user", leaf: leaf{hosts: []string{"localhost"}},
			verify: x509.VerifyOptions{KeyUsages: clientAuth},
		},
		{
			name: "a user's certificate proves the user", leaf: leaf{user: "jane", groups: []string{"developers"}},
			verify: x509.VerifyOptions{KeyUsages: clientAuth}, wantOK: true,
		},
		{
			name: "a user's certificate serves nothing", leaf: leaf{user: "jane"},
			verify: x509.VerifyOptions{KeyUsages: serverAuth},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			certPEM, _, err := ca.issue(test.leaf)
			require.NoError(t, err)
			certs, err := cert.ParseCertsPEM(certPEM)
			require.NoError(t, err)
			require.Equal(t, test.leaf.user, certs[0].Subject.CommonName)
			require.Equal(t, test.leaf.groups, certs[0].Subject.Organization)

			require.Equal(t, test.wantOK, verifies(t, ca, certs[0], test.verify))
			require.False(t, verifies(t, other, certs[0], test.verify), "an authority of the same name accepts it")
		})
	}
}

// The files stay, and are private.
func TestClusterPKI(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	_, err := loadOrCreateClusterPKI(dir, "hub")
	require.NoError(t, err)
	first := readAll(t, dir)
	require.Contains(t, first, "service-account.key")

	_, err = loadOrCreateClusterPKI(dir, "hub")
	require.NoError(t, err)
	require.Equal(t, first, readAll(t, dir), "what is there is used again")
}

var (
	serverAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	clientAuth = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

func verifies(t *testing.T, ca *authority, certificate *x509.Certificate, options x509.VerifyOptions) bool {
	t.Helper()
	pool, err := cert.NewPoolFromBytes(ca.bundle())
	require.NoError(t, err)
	options.Roots = pool
	_, err = certificate.Verify(options)
	return err == nil
}

// readAll returns the files in dir by name, which nobody but their owner may read.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string]string{}
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), entry.Name())
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		files[entry.Name()] = string(data)
	}
	return files
}
