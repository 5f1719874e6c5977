// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// httpsPort is the port of a server whose URL has none.
const httpsPort = "443"

// checkDestination returns nil when a client that connects as it says in to is certain to reach the
// cluster that the hub means, and else in what they differ: client-go would send the token there.
// The client may trust fewer authorities than the hub names, and no others. It may leave the TLS
// server name out, as upstream's access library does, and then expects the host of the URL. A proxy
// sees nothing of what TLS protects. A nil to is nobody in particular.
func checkDestination(to *clientauthenticationv1.Cluster, cluster v1alpha1.Cluster) error {
	if to == nil {
		return nil
	}
	switch {
	case to.InsecureSkipTLSVerify:
		return errors.New("the client does not verify the server (insecure-skip-tls-verify)")
	case !sameServer(to.Server, cluster.Server):
		return fmt.Errorf("the client's server is %q, and the hub says %q", to.Server, cluster.Server)
	case to.TLSServerName != "" && to.TLSServerName != cluster.TLSServerName:
		return fmt.Errorf("the client's tls-server-name is %q, and the hub says %q", to.TLSServerName, cluster.TLSServerName)
	}
	if err := checkAuthorities(to.CertificateAuthorityData, cluster.CertificateAuthorityData); err != nil {
		return fmt.Errorf("certificate-authority-data: %w", err)
	}
	return nil
}

// sameServer returns whether two URLs are those of one server that is reached by TLS.
func sameServer(a, b string) bool {
	left, err := url.Parse(a)
	if err != nil {
		return false
	}
	right, err := url.Parse(b)
	if err != nil {
		return false
	}
	return left.Scheme == "https" && right.Scheme == "https" &&
		strings.EqualFold(left.Hostname(), right.Hostname()) && cmp.Or(left.Port(), httpsPort) == cmp.Or(right.Port(), httpsPort) &&
		strings.TrimSuffix(left.Path, "/") == strings.TrimSuffix(right.Path, "/")
}

// checkAuthorities returns nil when every authority that is trusted is among those named.
func checkAuthorities(trusted, named []byte) error {
	if len(trusted) == 0 && len(named) == 0 {
		return nil
	}
	if len(trusted) == 0 || len(named) == 0 {
		return errors.New("only one of the client and the hub has any")
	}
	mine, err := endpoint.ParseBundle(trusted)
	if err != nil {
		return fmt.Errorf("the client's %w", err)
	}
	theirs, err := endpoint.ParseBundle(named)
	if err != nil {
		return fmt.Errorf("the hub's %w", err)
	}
	for _, certificate := range mine.Certificates {
		if !slices.ContainsFunc(theirs.Certificates, func(c *x509.Certificate) bool { return c.Equal(certificate) }) {
			return fmt.Errorf("the client trusts %q, which the hub does not name", certificate.Subject)
		}
	}
	return nil
}
