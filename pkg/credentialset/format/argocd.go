// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package format

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// What Argo CD knows a cluster by, from "Clusters" in its docs/operator-manual/declarative-setup.md.
const (
	argoCDTypeLabel = "argocd.argoproj.io/secret-type"
	argoCDCluster   = "cluster"

	ArgoCDNameKey   = "name"
	ArgoCDServerKey = "server"
	ArgoCDConfigKey = "config"

	// argoCDOwnName and argoCDOwnServer are the cluster that Argo CD runs in.
	argoCDOwnName   = "in-cluster"
	argoCDOwnServer = "https://kubernetes.default.svc"
)

// argoCDConfig is the part of Argo CD's ClusterConfig that a credential needs. proxyUrl
// is read since Argo CD 2.14; one that is older ignores it and goes to the server directly.
type argoCDConfig struct {
	BearerToken     string                `json:"bearerToken"`
	TLSClientConfig argoCDTLSClientConfig `json:"tlsClientConfig"`
	ProxyURL        string                `json:"proxyUrl,omitempty"`
}

type argoCDTLSClientConfig struct {
	Insecure   bool   `json:"insecure"`
	ServerName string `json:"serverName,omitempty"`
	CAData     []byte `json:"caData,omitempty"`
}

// argoCDSecret returns a cluster for Argo CD. Argo CD knows its clusters by the URLs of their
// servers: where two profiles lead to one server, one of the two Secrets is as good as not there.
func argoCDSecret(c Credential, server *url.URL) (*Secret, error) {
	if c.Cluster == argoCDOwnName || isArgoCDOwnServer(server) {
		return nil, errors.New("the name " + argoCDOwnName + " and the server " + argoCDOwnServer + " are those of the cluster that Argo CD runs in")
	}
	cluster := c.Status.Cluster
	config, err := json.Marshal(argoCDConfig{ //nolint:gosec // a Secret is where the token goes
		BearerToken:     c.Status.Token,
		TLSClientConfig: argoCDTLSClientConfig{ServerName: cluster.TLSServerName, CAData: cluster.CertificateAuthorityData},
		ProxyURL:        cluster.ProxyURL,
	})
	if err != nil {
		return nil, errors.New("the config can't be written")
	}
	return &Secret{
		Type:   corev1.SecretTypeOpaque,
		Labels: map[string]string{argoCDTypeLabel: argoCDCluster},
		Data: map[string][]byte{
			ArgoCDNameKey:   []byte(c.Cluster),
			ArgoCDServerKey: []byte(cluster.Server),
			ArgoCDConfigKey: config,
		},
	}, nil
}

// isArgoCDOwnServer says whether Argo CD takes server for its own cluster's. It drops trailing slashes before it compares.
func isArgoCDOwnServer(server *url.URL) bool {
	return strings.TrimRight(server.String(), "/") == argoCDOwnServer
}
