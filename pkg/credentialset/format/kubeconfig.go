// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"errors"
	"net"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The keys of the format kubeconfig: one file under two names, in the one write that a
// rotation is, so that they never differ. Kueue reads no other key than its own, and so
// do those who follow Cluster API; Flux can be told a key, but asks for "value" by itself.
// A choice in the set would be one more thing to get wrong, and one Secret serves both.
const (
	// KueueKey is where Kueue reads the kubeconfig of a MultiKueueCluster.
	KueueKey = "kubeconfig"
	// ValueKey is the convention of Cluster API, and where Flux reads the kubeconfig of
	// spec.kubeConfig.secretRef unless that has a key.
	ValueKey = "value"
)

const httpsPort = "443"

func kubeconfigSecret(c Credential, server *url.URL) (*Secret, error) {
	file, err := kubeconfig(c, server)
	if err != nil {
		return nil, err
	}
	return &Secret{Type: corev1.SecretTypeOpaque, Data: map[string][]byte{KueueKey: file, ValueKey: file}}, nil
}

// kubeconfig returns a kubeconfig of one context with an inline token and CA. It is written
// anew from the parts that were checked.
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

// withPort returns the URL of server, with a port where the host is an IPv6 address: Kueue
// v0.19 takes one that stands alone in its brackets for no address.
func withPort(server *url.URL) string {
	if server.Port() != "" || !strings.HasPrefix(server.Host, "[") {
		return server.String()
	}
	explicit := *server
	explicit.Host = net.JoinHostPort(server.Hostname(), httpsPort)
	return explicit.String()
}
