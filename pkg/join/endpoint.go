// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credentialset/format"
	"clusterpass.dev/pkg/endpoint"
)

const (
	// largeCA is from when on a bundle of CAs, in base64, endangers exec plugins: Linux takes no
	// environment variable of more than 128 KiB (MAX_ARG_STRLEN), and KUBERNETES_EXEC_INFO has more
	// than the CA.
	largeCA = 90 << 10
	// maxCA is the largest bundle, in base64, that a Secret can hold twice, as those of the format
	// kubeconfig do, with the tokens; a Secret has 1 MiB at most.
	maxCA = 480 << 10
)

// insteadOfProxyPassword says how a proxy with a password is used.
const insteadOfProxyPassword = "Take proxy-url out of the kubeconfig, and set HTTPS_PROXY in the environment of this command. " +
	"If the hub needs the proxy as well, set HTTPS_PROXY of clusterpass-apiserver and clusterpass-controller-manager from a Secret"

// checkEndpoint refuses what clusterpass-apiserver would refuse of a member's kubeconfig. What it
// accepts holds no secret: whoever may read the ClusterProfile reads it. Its errors name the field,
// and never say what is in there.
func checkEndpoint(cluster *clientcmdapi.Cluster) error {
	if cluster.InsecureSkipTLSVerify {
		return errors.New("the member's context has insecure-skip-tls-verify: the hub would send its credential to any server that answers. " +
			"Give the context a certificate-authority")
	}
	if _, err := endpoint.ParseServer(cluster.Server); err != nil {
		return fmt.Errorf("the member's context: %w; see --member-server", err)
	}
	if err := checkProxy(cluster.ProxyURL); err != nil {
		return fmt.Errorf("the member's context: %w", err)
	}
	ca, err := endpoint.CleanBundle(cluster.CertificateAuthorityData)
	switch size := base64.StdEncoding.EncodedLen(len(ca)); {
	case err != nil:
		return fmt.Errorf("the member's context: its certificate-authority %w", err)
	case size > maxCA:
		return fmt.Errorf("the member's context: its certificate-authority has %d KiB in base64, "+
			"and a Secret with a kubeconfig takes %d KiB at most. %s", size>>10, maxCA>>10, smallerCA)
	}
	return nil
}

const smallerCA = "Give the context only the CA that issued the certificate of the member's API server"

func checkProxy(proxy string) error {
	if proxy == "" {
		return nil
	}
	if _, err := endpoint.ParseProxy(proxy); err != nil {
		if parsed, parseErr := url.Parse(proxy); parseErr == nil && parsed.User != nil {
			return fmt.Errorf("%w in the ClusterProfile. %s", err, insteadOfProxyPassword)
		}
		return err
	}
	return nil
}

// cleaned returns the endpoint with the certificates alone that clients can use, and what there is
// to say of it. It has been checked.
func cleaned(name string, cluster clientcmdapi.Cluster, now time.Time) (clientcmdapi.Cluster, []string) {
	var warnings []string
	if bundle, err := endpoint.ParseBundle(cluster.CertificateAuthorityData); err == nil {
		for _, note := range slices.Concat(bundle.Notes, bundle.Expired(now)) {
			warnings = append(warnings, "certificate-authority of the member: "+note)
		}
		cluster.CertificateAuthorityData = bundle.PEM
		if size := base64.StdEncoding.EncodedLen(len(bundle.PEM)); size > largeCA {
			warnings = append(warnings, fmt.Sprintf("certificate-authority of the member: it has %d KiB in base64. "+
				"Credential plugins that get cluster information (provideClusterInfo) "+
				"fail with \"argument list too long\" if that is too large for their environment. %s", size>>10, smallerCA))
		}
	}
	return cluster, append(warnings, refusedByFormats(name, &cluster)...)
}

// refusedByFormats says which formats of ClusterCredentialSets cannot express the cluster, as their
// consumers, such as Kueue and Argo CD, would refuse it.
func refusedByFormats(name string, cluster *clientcmdapi.Cluster) []string {
	credential := format.Credential{Cluster: name, Status: multiclusterv1alpha1.AuthTokenRequestStatus{
		Token: "token",
		Cluster: &multiclusterv1alpha1.Cluster{
			Server: cluster.Server, CertificateAuthorityData: cluster.CertificateAuthorityData,
			TLSServerName: cluster.TLSServerName, ProxyURL: cluster.ProxyURL,
		},
	}}
	formats := map[string][]string{} // by the reason
	for _, f := range []clusterpassv1alpha1.SecretFormat{
		clusterpassv1alpha1.SecretFormatKubeconfig, clusterpassv1alpha1.SecretFormatArgoCD, clusterpassv1alpha1.SecretFormatToken,
	} {
		if _, err := format.Render(f, credential); err != nil {
			reason := errors.Unwrap(err).Error()
			formats[reason] = append(formats[reason], string(f))
		}
	}
	var warnings []string
	for _, reason := range slices.Sorted(maps.Keys(formats)) {
		warnings = append(warnings, fmt.Sprintf("ClusterCredentialSets of format %s will refuse this cluster, as Kueue or Argo CD would: %s",
			strings.Join(formats[reason], ", "), reason))
	}
	return warnings
}

// waysTo returns how a member is reached: as its admin does, and as the hub does by the Secret,
// which may be nil. There are none where the member is nil.
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

// leadsBy returns whether a kubeconfig in a Secret leads to a cluster by one of ways: by the same
// address, and the same CA.
func leadsBy(secret *corev1.Secret, ways []*clientcmdapi.Cluster) bool {
	return slices.ContainsFunc(clustersIn(secret), func(cluster *clientcmdapi.Cluster) bool {
		return slices.ContainsFunc(ways, func(way *clientcmdapi.Cluster) bool {
			return strings.TrimRight(cluster.Server, "/") == strings.TrimRight(way.Server, "/") &&
				bytes.Equal(cleanCA(cluster), cleanCA(way))
		})
	})
}

// cleanCA returns the certificates alone of a cluster's CA, so that comments and line ends make no
// difference.
func cleanCA(cluster *clientcmdapi.Cluster) []byte {
	if bundle, err := endpoint.ParseBundle(cluster.CertificateAuthorityData); err == nil {
		return bundle.PEM
	}
	return cluster.CertificateAuthorityData
}
