// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/endpoint"
)

// waysTo returns how a member is reached: as its admin does, and as the hub does by the Secret, which may be nil. There are none where the
// member is nil.
func waysTo(m *Member, secret *corev1.Secret) []*clientcmdapi.Cluster {
	if m == nil {
		return nil
	}
	ways := []*clientcmdapi.Cluster{&m.Endpoint}
	if secret != nil {
		ways = append(ways, clustersIn(secret)...)
	}
	return ways
}

// clustersIn returns the clusters of the kubeconfigs in a Secret, under whatever key.
func clustersIn(secret *corev1.Secret) []*clientcmdapi.Cluster {
	var clusters []*clientcmdapi.Cluster
	for _, data := range secret.Data {
		if config, err := clientcmd.Load(data); err == nil {
			clusters = slices.AppendSeq(clusters, maps.Values(config.Clusters))
		}
	}
	return clusters
}

// leadsBy returns whether a kubeconfig in a Secret leads to a cluster by one of ways: by the same address, and the same CA.
func leadsBy(secret *corev1.Secret, ways []*clientcmdapi.Cluster) bool {
	return slices.ContainsFunc(clustersIn(secret), func(cluster *clientcmdapi.Cluster) bool {
		return slices.ContainsFunc(ways, func(way *clientcmdapi.Cluster) bool {
			return strings.TrimRight(cluster.Server, "/") == strings.TrimRight(way.Server, "/") &&
				bytes.Equal(cleanCA(cluster), cleanCA(way))
		})
	})
}

// cleanCA returns the certificates alone of a cluster's CA, so that comments and line ends make no difference.
func cleanCA(cluster *clientcmdapi.Cluster) []byte {
	if bundle, err := endpoint.ParseBundle(cluster.CertificateAuthorityData); err == nil {
		return bundle.PEM
	}
	return cluster.CertificateAuthorityData
}
