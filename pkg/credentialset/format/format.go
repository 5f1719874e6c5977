// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package format knows what the Secrets hold that consumers of credentials read.
package format

import (
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// Keys of Secrets.
const (
	// KubeconfigKey has the kubeconfig: where Kueue looks. Flux is told by spec.kubeConfig.secretRef.key.
	KubeconfigKey = "kubeconfig"

	// TokenKey, CAKey, ServerKey, TLSServerNameKey and ProxyURLKey are those of the format token. The first two are
	// those of a ServiceAccount's Secret; the last two are there where the cluster has such.
	TokenKey         = corev1.ServiceAccountTokenKey
	CAKey            = corev1.ServiceAccountRootCAKey
	ServerKey        = "server"
	TLSServerNameKey = "tls-server-name"
	ProxyURLKey      = "proxy-url"

	// argoCDLabel, with the value argoCDCluster, is on the Secrets that Argo CD reads clusters from.
	argoCDLabel   = "argocd.argoproj.io/secret-type"
	argoCDCluster = "cluster"
)

// Credential is what a Secret is made from.
type Credential struct {
	// Cluster is the name of the ClusterProfile.
	Cluster string
	// Status is the answer to the request for the token.
	Status multiclusterv1alpha1.AuthTokenRequestStatus
}

// Secret is what of a Secret a format says: its data, and the labels that it takes.
type Secret struct {
	Data   map[string][]byte
	Labels map[string]string
}

// Render returns what a Secret holds in a format. An error, which holds no token, says what is missing, or what a consumer of that
// format can't be told.
func Render(format v1alpha1.SecretFormat, c Credential) (*Secret, error) {
	if c.Status.Token == "" || c.Status.Cluster == nil || c.Status.Cluster.Server == "" {
		return nil, errors.New("the answer to the request for a token has no token, or no server")
	}
	switch format {
	case v1alpha1.SecretFormatKubeconfig:
		return &Secret{Data: map[string][]byte{KubeconfigKey: c.Status.Kubeconfig}}, nil
	case v1alpha1.SecretFormatArgoCD:
		return argoCD(c)
	case v1alpha1.SecretFormatToken:
		return token(c), nil
	}
	return nil, fmt.Errorf("format %q is not known", format)
}

// argoCDConfig is the part of Argo CD's ClusterConfig that is used here, as its operator manual documents it for clusters that are
// set up declaratively.
type argoCDConfig struct {
	BearerToken     string    `json:"bearerToken" datapolicy:"token"`
	TLSClientConfig argoCDTLS `json:"tlsClientConfig"`
}

type argoCDTLS struct {
	ServerName string `json:"serverName,omitempty"`
	CAData     []byte `json:"caData,omitempty"`
}

func argoCD(c Credential) (*Secret, error) {
	cluster := c.Status.Cluster
	if cluster.ProxyURL != "" {
		return nil, errors.New("the cluster is reached through a proxy, which not every Argo CD can be told in its cluster Secret")
	}
	config, err := json.Marshal(argoCDConfig{ //nolint:gosec // the token is what the Secret is for
		BearerToken:     c.Status.Token,
		TLSClientConfig: argoCDTLS{ServerName: cluster.TLSServerName, CAData: cluster.CertificateAuthorityData},
	})
	if err != nil {
		return nil, errors.New("the configuration for Argo CD can't be encoded") // the cause might quote it
	}
	return &Secret{
		Data:   map[string][]byte{"name": []byte(c.Cluster), "server": []byte(cluster.Server), "config": config},
		Labels: map[string]string{argoCDLabel: argoCDCluster},
	}, nil
}

func token(c Credential) *Secret {
	cluster := c.Status.Cluster
	data := map[string][]byte{TokenKey: []byte(c.Status.Token), ServerKey: []byte(cluster.Server)}
	for key, value := range map[string][]byte{
		CAKey: cluster.CertificateAuthorityData, TLSServerNameKey: []byte(cluster.TLSServerName), ProxyURLKey: []byte(cluster.ProxyURL),
	} {
		if len(value) > 0 {
			data[key] = value
		}
	}
	return &Secret{Data: data}
}
