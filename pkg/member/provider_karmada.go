// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// The keys of Karmada's Secrets.
const (
	karmadaTokenKey = "token"
	karmadaCAKey    = "caBundle"
)

// karmadaProvider reaches the clusters of Karmada. Whoever writes a profile or its status chooses
// nothing: the name of the profile says which Cluster it is for, and that Cluster, which is
// cluster-scoped, has the address and names the Secret.
type karmadaProvider struct {
	*configv1alpha1.KarmadaSecretProvider
	clusters KarmadaClusters
}

func karmadaSecrets(config *configv1alpha1.KarmadaSecretProvider, namespace string) PlatformSecrets {
	return PlatformSecrets{
		Namespace: namespace,
		keys:      func(*corev1.Secret) []string { return []string{karmadaTokenKey, karmadaCAKey} },
		profile: func(secret *corev1.Secret) (cache.ObjectName, bool) {
			return cache.NewObjectName(config.ProfileNamespace, secret.Name), true
		},
	}
}

func (p *karmadaProvider) find(
	profile *inventoryv1alpha1.ClusterProfile, _ *inventoryv1alpha1.AccessProvider, get lookupSecret,
) (*source, error) {
	if profile.Namespace != p.ProfileNamespace {
		return nil, fmt.Errorf("only ClusterProfiles of namespace %s lead to clusters of Karmada", p.ProfileNamespace)
	}
	if err := checkManager(profile, KarmadaManager); err != nil {
		return nil, err
	}
	cluster, err := p.cluster(profile.Name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(p.Namespaces, cluster.SecretRef.Namespace) {
		return nil, notIn(cluster.SecretRef.Namespace, p.Namespaces)
	}
	secret, err := platformSecret(cluster.SecretRef.Namespace, cluster.SecretRef.Name, get)
	if err != nil {
		return nil, err
	}
	token, ca := secret.Data[karmadaTokenKey], secret.Data[karmadaCAKey]
	return &source{
		key: newAccessKey([]byte(cluster.UID), []byte(cluster.server()), []byte(cluster.ProxyURL), ca, token),
		open: func() (*access, error) {
			opened, err := openKarmada(cluster, ca, token)
			if err != nil {
				return nil, fmt.Errorf("the Cluster %s of Karmada, or its Secret %s/%s: %w", cluster.Name, secret.Namespace, secret.Name, err)
			}
			return opened, nil
		},
	}, nil
}

// cluster returns the Cluster of that name, by which a member may be reached.
func (p *karmadaProvider) cluster(name string) (*KarmadaCluster, error) {
	if p.clusters == nil {
		return nil, &unreadError{errors.New("the Clusters of Karmada are not read by this program")}
	}
	cluster, err := p.clusters.KarmadaCluster(name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Cluster %s of Karmada", name)
	case err != nil:
		return nil, &unreadError{fmt.Errorf("the Clusters of Karmada: %w", err)}
	}
	return cluster, cluster.check()
}

// openKarmada returns the access that a Cluster and its Secret give, by the guards of kubeconfigs.
// A Secret without a CA is refused, as Karmada does: with the CAs of the system, many a server
// could take the place of the member.
func openKarmada(cluster *KarmadaCluster, ca, token []byte) (*access, error) {
	if len(ca) == 0 {
		return nil, fmt.Errorf("the key %s is empty or missing", karmadaCAKey)
	}
	if len(token) == 0 {
		return nil, fmt.Errorf("the key %s is empty or missing", karmadaTokenKey)
	}
	of := &clientcmdapi.Cluster{Server: cluster.server(), CertificateAuthorityData: ca, ProxyURL: cluster.ProxyURL}
	user := &clientcmdapi.AuthInfo{Token: string(token)}
	bundle, err := checkCluster(of)
	if err := errors.Join(err, checkUser(user)); err != nil {
		return nil, err
	}
	access, err := newSecretAccess(of, bundle, user)
	if err == nil {
		access.several = true // another Cluster of this name may be made
	}
	return access, err
}
