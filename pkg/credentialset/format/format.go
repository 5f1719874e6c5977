// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package format turns the answer to an AuthTokenRequest into what the Secrets of a
// ClusterCredentialSet hold. It has no client and writes nothing: the same credential
// always gives the same bytes, so that a Secret changes only when its credential does.
package format

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/endpoint"
)

// Credential is what a Secret is made from.
type Credential struct {
	// Cluster is the name of the ClusterProfile.
	Cluster string
	// Namespace is that of the ServiceAccount, which a kubeconfig begins in.
	Namespace string
	// Status is the answer to the request.
	Status multiclusterv1alpha1.AuthTokenRequestStatus
	// ArgoCD is what the set says to Argo CD, with the cluster's name in place of a template; nil if it says nothing.
	ArgoCD *v1alpha1.ArgoCDCluster
}

// Secret is the content of a Secret. Where a set has labels of its own,
// those that are here go first: without them the consumer doesn't see the Secret.
type Secret struct {
	Data   map[string][]byte
	Labels map[string]string
	// Type is always Opaque: the hub acts upon Secrets of other types, and removes a
	// kubernetes.io/service-account-token whose ServiceAccount it doesn't have.
	Type corev1.SecretType
}

// Labels returns the labels by which the consumer of format f sees a Secret.
func Labels(f v1alpha1.SecretFormat) map[string]string {
	if f == v1alpha1.SecretFormatArgoCD {
		return map[string]string{ArgoCDTypeLabel: ArgoCDCluster}
	}
	return nil
}

// Render returns what a Secret of format f holds for c. It is an error if c has no token,
// if it leads nowhere safe, or if f cannot express it; nothing is left out silently. Errors
// name the cluster and never hold a token, nor a URL that may have a password in it.
func Render(f v1alpha1.SecretFormat, c Credential) (*Secret, error) {
	secret, err := render(f, c)
	if err != nil {
		return nil, fmt.Errorf("credential for cluster %q as %q: %w", c.Cluster, f, err)
	}
	return secret, nil
}

func render(f v1alpha1.SecretFormat, c Credential) (*Secret, error) {
	server, err := check(c)
	if err != nil {
		return nil, err
	}
	// Not every consumer skips, as those in Go do, what is no certificate that it can read.
	c.Status.Cluster = c.Status.Cluster.DeepCopy()
	if c.Status.Cluster.CertificateAuthorityData, err = endpoint.CleanBundle(c.Status.Cluster.CertificateAuthorityData); err != nil {
		return nil, err
	}
	switch f {
	case v1alpha1.SecretFormatKubeconfig:
		return kubeconfigSecret(c, server)
	case v1alpha1.SecretFormatArgoCD:
		return argoCDSecret(c, server)
	case v1alpha1.SecretFormatToken:
		return tokenSecret(c), nil
	default:
		return nil, fmt.Errorf("the format is none of %s, %s and %s", v1alpha1.SecretFormatKubeconfig, v1alpha1.SecretFormatArgoCD, v1alpha1.SecretFormatToken)
	}
}
