// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"net"
	"net/url"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The keys of the format kubeconfig. Both have the same file, and one write changes both, so they
// never differ. Kueue reads only its own key, and so do programs that follow Cluster API. Flux has
// an option for the key, but reads "value" by default. An option in the set would be one more thing
// to get wrong, while one Secret works for all.
const (
	// KueueKey is the key from which Kueue reads the kubeconfig of a MultiKueueCluster.
	KueueKey = "kubeconfig"
	// ValueKey is the key by the convention of Cluster API. Flux reads the kubeconfig of
	// spec.kubeConfig.secretRef from it, unless that names another key.
	ValueKey = "value"
)

const httpsPort = "443"

// kubeconfig returns a kubeconfig with one context, and with an inline token and CA. It contains
// only parts that were checked.
func kubeconfig(c Credential, server *url.URL) ([]byte, error) {
	account := "clusterpass@" + c.Cluster
	cluster := c.Status.Cluster
	file, err := clientcmd.Write(clientcmdapi.Config{
		CurrentContext: c.Cluster,
		Clusters: map[string]*clientcmdapi.Cluster{c.Cluster: {
			Server:                   withPort(server),
			CertificateAuthorityData: cluster.CertificateAuthorityData,
			TLSServerName:            cluster.TLSServerName,
			ProxyURL:                 cluster.ProxyURL,
		}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{account: {Token: c.Status.Token}},
		Contexts: map[string]*clientcmdapi.Context{c.Cluster: {
			Cluster: c.Cluster, AuthInfo: account, Namespace: c.Namespace,
		}},
	})
	if err != nil {
		return nil, errors.New("the kubeconfig can't be written")
	}
	return file, nil
}

// withPort returns the URL of server, with a port if the host is an IPv6 address: Kueue v0.19 does
// not recognise an IPv6 address in brackets without a port.
func withPort(server *url.URL) string {
	if server.Port() != "" || !strings.HasPrefix(server.Host, "[") {
		return server.String()
	}
	explicit := *server
	explicit.Host = net.JoinHostPort(server.Hostname(), httpsPort)
	return explicit.String()
}
