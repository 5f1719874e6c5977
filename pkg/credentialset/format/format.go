// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package format converts the answer to an AuthTokenRequest into the content of a Secret of a
// ClusterCredentialSet. It has no client and writes nothing. The same credential always gives the
// same bytes, so a Secret changes only when its credential changes.
package format

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// Credential is the input for the content of a Secret.
type Credential struct {
	// Cluster is the name of the ClusterProfile.
	Cluster string
	// Namespace is the namespace of the ServiceAccount, and the default namespace in a kubeconfig.
	Namespace string
	// Status is the answer to the request.
	Status multiclusterv1alpha1.AuthTokenRequestStatus
	// ArgoCD has the set's options for Argo CD, with the expanded name instead of a template. It
	// may be nil.
	ArgoCD *v1alpha1.ArgoCDCluster
}

// Secret is the content of a Secret. Its labels take precedence over the set's own labels, because
// the consumer needs them to find the Secret.
type Secret struct {
	Data   map[string][]byte
	Labels map[string]string
	// Type is always Opaque. The hub acts on Secrets of other types: it removes a
	// kubernetes.io/service-account-token whose ServiceAccount does not exist on the hub.
	Type corev1.SecretType
}

// Render returns the content of a Secret of format f for c. It returns an error if c has no token,
// if c leads to an unsafe server, or if f cannot express all of c. Errors name the cluster. They
// never contain a token, or a URL that may have a password.
func Render(f v1alpha1.SecretFormat, c Credential) (*Secret, error) {
	data, err := render(f, c)
	if err != nil {
		return nil, fmt.Errorf("credential for cluster %q as %q: %w", c.Cluster, f, err)
	}
	secret := &Secret{Data: data, Type: corev1.SecretTypeOpaque}
	if f == v1alpha1.SecretFormatArgoCD {
		secret.Labels = map[string]string{ArgoCDTypeLabel: ArgoCDCluster}
	}
	return secret, nil
}

func render(f v1alpha1.SecretFormat, c Credential) (map[string][]byte, error) {
	server, err := check(&c)
	if err != nil {
		return nil, err
	}
	switch f {
	case v1alpha1.SecretFormatKubeconfig:
		file, err := kubeconfig(c, server)
		return map[string][]byte{KueueKey: file, ValueKey: file}, err
	case v1alpha1.SecretFormatArgoCD:
		return argoCDData(c, server)
	case v1alpha1.SecretFormatToken:
		return tokenData(c), nil
	default:
		return nil, fmt.Errorf("the format is none of %s, %s and %s",
			v1alpha1.SecretFormatKubeconfig, v1alpha1.SecretFormatArgoCD, v1alpha1.SecretFormatToken)
	}
}

// check returns the URL of the server that c is for, or an error if something in c is missing or
// wrong for all formats. Without a CA, the consumer verifies the server with the CAs of its system.
// It drops invalid certificates from the CAs of c: consumers in Go skip them, but others do not.
func check(c *Credential) (*url.URL, error) {
	cluster := c.Status.Cluster.DeepCopy()
	switch {
	case c.Cluster == "":
		return nil, errors.New("the cluster has no name")
	case c.Status.Token == "":
		return nil, errors.New("the answer has no token")
	case cluster == nil:
		return nil, errors.New("the answer does not say how to reach the cluster")
	}
	bundle, err := endpoint.CleanBundle(cluster.CertificateAuthorityData)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority-data %w", err)
	}
	cluster.CertificateAuthorityData, c.Status.Cluster = bundle, cluster
	if cluster.ProxyURL != "" {
		if _, err := endpoint.ParseProxy(cluster.ProxyURL); err != nil {
			return nil, err
		}
	}
	server, err := endpoint.ParseServer(cluster.Server)
	if err != nil {
		return nil, err
	}
	return server, endpoint.CheckHost(server)
}

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

// The keys of the format token. Upstream's secretreader plugin reads "token" from the Secret with
// the cluster's name. Kubernetes uses the names "token" and "ca.crt" in the Secret of a
// ServiceAccount. Values that are missing in the answer have no key.
const (
	TokenKey = "token"
	CAKey    = "ca.crt"
	// ServerKey is the URL of the API server.
	ServerKey        = "server"
	TLSServerNameKey = "tls-server-name"
	ProxyURLKey      = "proxy-url"
	// ExpirationTimestampKey is when the token expires, in RFC 3339 and UTC.
	ExpirationTimestampKey = "expirationTimestamp"
)

func tokenData(c Credential) map[string][]byte {
	cluster := c.Status.Cluster
	data := map[string][]byte{
		TokenKey:         []byte(c.Status.Token),
		CAKey:            cluster.CertificateAuthorityData,
		ServerKey:        []byte(cluster.Server),
		TLSServerNameKey: []byte(cluster.TLSServerName),
		ProxyURLKey:      []byte(cluster.ProxyURL),
	}
	if expires := c.Status.ExpirationTimestamp; expires != nil {
		data[ExpirationTimestampKey] = []byte(expires.UTC().Format(time.RFC3339))
	}
	maps.DeleteFunc(data, func(_ string, value []byte) bool { return len(value) == 0 })
	return data
}

// Tokens returns every token in data, in all formats. It is for callers that look for a known
// token: other users may have changed data.
func Tokens(data map[string][]byte) []string {
	found := []string{string(data[TokenKey])}
	var config argoCDConfig
	if json.Unmarshal(data[ArgoCDConfigKey], &config) == nil {
		found = append(found, config.BearerToken)
	}
	for _, key := range []string{KueueKey, ValueKey} {
		file, err := clientcmd.Load(data[key])
		if err != nil {
			continue
		}
		for _, account := range file.AuthInfos {
			found = append(found, account.Token)
		}
	}
	return found
}
