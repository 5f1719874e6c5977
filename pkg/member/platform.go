// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// The spec.clusterManager.name of the ClusterProfiles of other platforms' clusters. A profile of
// another manager leads to none of these.
const (
	KarmadaManager    = "karmada.clusterpass.dev"
	ClusterAPIManager = "cluster-api.clusterpass.dev"
)

// SecretNamespaces returns the namespaces of the hub in which config lets kubeconfigs be, in order.
func SecretNamespaces(config *configv1alpha1.AccessConfiguration) []string {
	namespaces := sets.New[string]()
	for _, provider := range config.Providers {
		if provider.KubeconfigSecret != nil {
			namespaces.Insert(provider.KubeconfigSecret.Namespaces...)
		}
	}
	return sets.List(namespaces)
}

// PlatformSecrets are Secrets of one namespace by which another platform reaches its clusters.
type PlatformSecrets struct {
	Namespace string
	// Selector selects them by label; it is empty for all.
	Selector string
	// keys returns which keys of a Secret are cached.
	keys func(secret *corev1.Secret) []string
	// profile returns the ClusterProfile that a Secret may be for.
	profile func(secret *corev1.Secret) (cache.ObjectName, bool)
}

// PlatformSecretsOf returns which Secrets of other platforms config has read.
func PlatformSecretsOf(config *configv1alpha1.AccessConfiguration) []PlatformSecrets {
	var all []PlatformSecrets
	for i := range config.Providers {
		if karmada := config.Providers[i].KarmadaSecret; karmada != nil {
			for _, namespace := range karmada.Namespaces {
				all = append(all, karmadaSecrets(karmada, namespace))
			}
		}
		if clusterAPI := config.Providers[i].ClusterAPISecret; clusterAPI != nil {
			for _, namespace := range clusterAPI.Namespaces {
				all = append(all, clusterAPISecrets(namespace))
			}
		}
	}
	return all
}

// keep is a transform of an informer. It keeps those keys of a Secret that are needed: among the
// Secrets of Cluster API are private keys of CAs.
func (p *PlatformSecrets) keep(object any) (any, error) {
	secret, ok := object.(*corev1.Secret)
	if !ok {
		return object, nil
	}
	kept := &corev1.Secret{
		TypeMeta: secret.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: secret.Namespace, Name: secret.Name, UID: secret.UID, ResourceVersion: secret.ResourceVersion, Labels: secret.Labels,
		},
		Type: secret.Type, Data: map[string][]byte{},
	}
	for _, key := range p.keys(secret) {
		if value, ok := secret.Data[key]; ok {
			kept.Data[key] = value
		}
	}
	return kept, nil
}

// platforms cache what leads to the clusters of other platforms. What of it cannot be read keeps
// these clusters away, and no others: it does not count for SecretInformers.Synced.
type platforms struct {
	secrets []platformInformer
	// clusters are Karmada's. It is nil if no provider needs them.
	clusters cache.SharedIndexInformer
	// karmada is the namespace of their ClusterProfiles.
	karmada string
}

type platformInformer struct {
	PlatformSecrets
	informer coreinformers.SecretIndexInformer
}

// newPlatforms returns the caches that config needs; Run starts them.
func newPlatforms(hub kubernetes.Interface, objects dynamic.Interface, config *configv1alpha1.AccessConfiguration) *platforms {
	p := &platforms{}
	for _, of := range PlatformSecretsOf(config) {
		selected := func(options *metav1.ListOptions) { options.LabelSelector = of.Selector }
		informer := coreinformers.NewTypedFilteredSecretInformer(hub, of.Namespace, 0, nil, selected)
		utilruntime.Must(informer.SetTransform(of.keep))
		p.secrets = append(p.secrets, platformInformer{of, informer})
	}
	for i := range config.Providers {
		if karmada := config.Providers[i].KarmadaSecret; karmada != nil {
			p.clusters, p.karmada = newKarmadaInformer(objects), karmada.ProfileNamespace
		}
	}
	return p
}

func (p *platforms) run(ctx context.Context, running *sync.WaitGroup) {
	for _, of := range p.secrets {
		running.Go(func() { of.informer.RunWithContext(Quiet(ctx)) })
	}
	if p.clusters != nil {
		running.Go(func() { p.clusters.RunWithContext(Quiet(ctx)) })
	}
}

// get returns a Secret from the caches.
func (p *platforms) get(namespace, name string) (*corev1.Secret, error) {
	for _, of := range p.secrets {
		if of.Namespace != namespace {
			continue
		}
		if !of.informer.HasSynced() {
			return nil, fmt.Errorf("the Secrets of namespace %s are not read yet", namespace)
		}
		found, err := corelisters.NewSecretLister(of.informer.GetIndexer()).Secrets(namespace).Get(name)
		if err == nil {
			return found, nil
		}
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
}

// reads returns whether Secrets of a namespace are read for another platform.
func (p *platforms) reads(namespace string) bool {
	return slices.ContainsFunc(p.secrets, func(of platformInformer) bool { return of.Namespace == namespace })
}

// onChange has changed called with the name of a ClusterProfile that may lead elsewhere now.
func (p *platforms) onChange(changed func(profile cache.ObjectName)) error {
	for _, of := range p.secrets {
		call := func(secret *corev1.Secret) {
			if name, ok := of.profile(secret); ok {
				changed(name)
			}
		}
		_, err := of.informer.AddTypedEventHandler(coreinformers.SecretDetailedHandlerFuncs{
			AddFunc: func(added *corev1.Secret, initial bool) {
				if !initial {
					call(added)
				}
			},
			UpdateFunc: func(old, secret *corev1.Secret) {
				if !equality.Semantic.DeepEqual(old.Data, secret.Data) {
					call(secret)
				}
			},
			DeleteFunc: func(deleted coreinformers.DeletedSecret) {
				if deleted.OptionalObj != nil {
					call(deleted.OptionalObj)
				}
			},
		})
		if err != nil {
			return fmt.Errorf("watching the Secrets of namespace %s: %w", of.Namespace, err)
		}
	}
	if p.clusters == nil {
		return nil
	}
	_, err := p.clusters.AddEventHandler(karmadaHandler(func(name string) { changed(cache.NewObjectName(p.karmada, name)) }))
	if err != nil {
		return fmt.Errorf("watching the Clusters of Karmada: %w", err)
	}
	return nil
}

// platformSecret returns a Secret of another platform.
func platformSecret(namespace, name string, get lookupSecret) (*corev1.Secret, error) {
	secret, err := get(namespace, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Secret %s/%s yet, or any more", namespace, name)
	case err != nil:
		return nil, &unreadError{fmt.Errorf("the Secret %s/%s can't be read: %w", namespace, name, err)}
	}
	return secret, nil
}

// IsImported returns whether a profile stands for a cluster of another platform.
func IsImported(profile *inventoryv1alpha1.ClusterProfile) bool {
	return profile.Spec.ClusterManager.Name == KarmadaManager || profile.Spec.ClusterManager.Name == ClusterAPIManager
}

// importer returns the provider that reaches the cluster of another platform that profile stands
// for, which its manager says.
func importer(providers []namedProvider, profile *inventoryv1alpha1.ClusterProfile) (namedProvider, bool) {
	for _, provider := range providers {
		manager := ""
		switch provider.provider.(type) {
		case *karmadaProvider:
			manager = KarmadaManager
		case *clusterAPIProvider:
			manager = ClusterAPIManager
		}
		if manager != "" && profile.Spec.ClusterManager.Name == manager {
			return provider, true
		}
	}
	return namedProvider{}, false
}

// checkManager returns an error if a profile stands for a cluster of another manager. What a grant
// has noted of a deleted ClusterProfile names no manager, and is no version of it.
func checkManager(profile *inventoryv1alpha1.ClusterProfile, manager string) error {
	name := profile.Spec.ClusterManager.Name
	if noted := name == "" && profile.ResourceVersion == ""; name != manager && !noted {
		return fmt.Errorf("spec.clusterManager.name of the ClusterProfile is not %s", manager)
	}
	return nil
}

// notIn returns the error for a namespace that a provider does not read.
func notIn(namespace string, from []string) error {
	return fmt.Errorf("no Secrets of clusters are read from namespace %q, only from %s", namespace, strings.Join(from, ", "))
}

// Implied returns the entry for the cluster of profile that the provider of that name finds:
// server, CA and proxy as another platform's objects have them in the caches, whatever the profile
// says. IsUnread tells an error because of a cache that is not filled yet.
func (p *Pool) Implied(profile *inventoryv1alpha1.ClusterProfile, provider string) (*inventoryv1alpha1.AccessProvider, error) {
	i := slices.IndexFunc(p.providers, func(named namedProvider) bool { return named.name == provider })
	if i < 0 {
		return nil, fmt.Errorf("there is no access provider %q", provider)
	}
	entry := &inventoryv1alpha1.AccessProvider{Name: provider}
	found, err := p.providers[i].find(profile, entry, p.cached().get)
	if err != nil {
		return nil, err
	}
	access, err := found.open()
	if err != nil {
		return nil, err
	}
	entry.Cluster = access.cluster
	return entry, nil
}

// IsUnread returns whether err says that something of the hub could not be read, so that nothing is
// known of the access.
func IsUnread(err error) bool { return isA[*unreadError](err) }
