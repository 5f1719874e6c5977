// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// What Cluster API's Secrets with kubeconfigs have.
const (
	clusterAPINameLabel  = "cluster.x-k8s.io/cluster-name"
	clusterAPISecretType = corev1.SecretType("cluster.x-k8s.io/secret")
	clusterAPISuffix     = "-kubeconfig"
	clusterAPIKey        = "value"
)

// clusterAPIProvider reaches the clusters of Cluster API. Whoever writes a profile or its status
// chooses nothing: namespace and name of the profile say which Secret it is, and that Secret says
// which cluster it is for.
type clusterAPIProvider struct {
	*configv1alpha1.ClusterAPISecretProvider
}

func clusterAPISecrets(namespace string) PlatformSecrets {
	return PlatformSecrets{
		Namespace: namespace,
		Selector:  clusterAPINameLabel,
		keys: func(secret *corev1.Secret) []string {
			if strings.HasSuffix(secret.Name, clusterAPISuffix) {
				return []string{clusterAPIKey}
			}
			return nil
		},
		profile: func(secret *corev1.Secret) (cache.ObjectName, bool) {
			name, ok := strings.CutSuffix(secret.Name, clusterAPISuffix)
			return cache.NewObjectName(secret.Namespace, name), ok
		},
	}
}

func (p *clusterAPIProvider) find(
	profile *inventoryv1alpha1.ClusterProfile, _ *inventoryv1alpha1.AccessProvider, get lookupSecret,
) (*source, error) {
	if !slices.Contains(p.Namespaces, profile.Namespace) {
		return nil, notIn(profile.Namespace, p.Namespaces)
	}
	if err := checkManager(profile, ClusterAPIManager); err != nil {
		return nil, err
	}
	secret, err := platformSecret(profile.Namespace, profile.Name+clusterAPISuffix, get)
	if err != nil {
		return nil, err
	}
	where := fmt.Sprintf("the Secret %s/%s", secret.Namespace, secret.Name)
	if secret.Type != clusterAPISecretType || secret.Labels[clusterAPINameLabel] != profile.Name {
		return nil, fmt.Errorf("%s is not Cluster API's for this cluster: its type is not %s, or it has no label %s=%s",
			where, clusterAPISecretType, clusterAPINameLabel, profile.Name)
	}
	kubeconfig := secret.Data[clusterAPIKey]
	if len(kubeconfig) == 0 {
		return nil, fmt.Errorf("key %q of %s is empty or missing", clusterAPIKey, where)
	}
	return &source{
		key: newAccessKey(kubeconfig),
		open: func() (*access, error) {
			access, err := openKubeconfig(kubeconfig, "", "")
			if err != nil {
				return nil, fmt.Errorf("%s: %w", where, err)
			}
			access.several = true // another Cluster of this name may be made
			return access, nil
		},
	}, nil
}
