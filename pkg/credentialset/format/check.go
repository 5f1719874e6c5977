// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	certutil "k8s.io/client-go/util/cert"
)

// check returns the URL of the server that c is for, or what is missing or wrong in c
// whatever the format. A credential without a CA is one for a server whose certificate
// is verified by the CAs of the consumer's system.
func check(c Credential) (*url.URL, error) {
	cluster := c.Status.Cluster
	switch {
	case c.Cluster == "":
		return nil, errors.New("the cluster has no name")
	case c.Status.Token == "":
		return nil, errors.New("the answer has no token")
	case cluster == nil:
		return nil, errors.New("the answer does not say how to reach the cluster")
	}
	if len(cluster.CertificateAuthorityData) > 0 {
		if _, err := certutil.ParseCertsPEM(cluster.CertificateAuthorityData); err != nil {
			return nil, errors.New("certificate-authority-data is not PEM certificates")
		}
	}
	if err := checkProxy(cluster.ProxyURL); err != nil {
		return nil, err
	}
	return parseServer(cluster.Server)
}

// parseServer returns the URL of a server that a token may be sent to. What is refused of
// the host is what Kueue v0.19 refuses ("untrusted server endpoint").
func parseServer(server string) (*url.URL, error) {
	parsed, err := url.Parse(server)
	switch {
	case err != nil:
		return nil, errors.New("the server is not a URL")
	case parsed.Scheme != "https":
		return nil, errors.New("the server's URL must be https")
	case parsed.User != nil:
		return nil, errors.New("the server's URL must not have a user name or a password")
	case parsed.RawQuery != "" || parsed.ForceQuery || strings.Contains(server, "#"):
		return nil, errors.New("the server's URL must not have a query or a fragment")
	case !isIPOrDNSName(parsed.Hostname()):
		return nil, errors.New("the host of the server's URL must be an IP address or a DNS name")
	}
	return parsed, nil
}

func isIPOrDNSName(host string) bool {
	return net.ParseIP(host) != nil || len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0
}

// checkProxy refuses what client-go or Argo CD would not take, and passwords: the URL is
// read by more people than the token is.
func checkProxy(proxy string) error {
	if proxy == "" {
		return nil
	}
	parsed, err := url.Parse(proxy)
	switch {
	case err != nil || parsed.Hostname() == "":
		return errors.New("proxy-url is not a URL with a host")
	case !slices.Contains([]string{"http", "https", "socks5"}, parsed.Scheme):
		return errors.New("proxy-url must be http, https or socks5")
	case parsed.User != nil:
		return errors.New("proxy-url must not have a user name or a password")
	}
	return nil
}
