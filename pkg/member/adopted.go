// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// Reasons of events on a ClusterProfile of another cluster manager, whose status is not
// clusterpass's to write: clusterpass cannot use the member any more, and can again.
const (
	EventAccessFailed   = "AccessFailed"
	EventAccessRestored = "AccessRestored"
)

// InventoryFieldManager is the field manager of what the controller manager writes to the
// ClusterProfiles of its own cluster manager, and to no others.
const InventoryFieldManager = "clusterpass-inventory"

// MaxSecretProfiles bounds how many ClusterProfiles one Secret can name.
const MaxSecretProfiles = 64

// SecretProfiles returns the ClusterProfiles that the annotation ClusterProfileAnnotation of a
// Secret names: the first 64, without what is not NAMESPACE/NAME.
func SecretProfiles(secret metav1.Object) []types.NamespacedName {
	return profilesIn(secret, ClusterProfileAnnotation)
}

// LeavingProfiles is SecretProfiles for LeavingProfilesAnnotation.
func LeavingProfiles(secret metav1.Object) []types.NamespacedName {
	return profilesIn(secret, LeavingProfilesAnnotation)
}

func profilesIn(secret metav1.Object, annotation string) []types.NamespacedName {
	var all []types.NamespacedName
	for written := range strings.SplitSeq(secret.GetAnnotations()[annotation], ",") {
		name, err := cache.ParseObjectName(strings.TrimSpace(written))
		if err == nil && name.Namespace != "" && name.Name != "" && len(all) < MaxSecretProfiles {
			all = append(all, name.AsNamespacedName())
		}
	}
	return all
}

// IsSecretOf returns whether a Secret names a ClusterProfile.
func IsSecretOf(secret metav1.Object, namespace, name string) bool {
	return slices.Contains(SecretProfiles(secret), types.NamespacedName{Namespace: namespace, Name: name})
}

// lookupNaming returns the Secrets that name a ClusterProfile, in order, from the cache or from the
// hub.
type lookupNaming func(namespace, name string) ([]metav1.Object, error)

// naming is a lookupNaming by a cache.
func naming(secrets Secrets) lookupNaming {
	return func(namespace, name string) ([]metav1.Object, error) {
		found, err := secrets.Of(namespace, name)
		all := make([]metav1.Object, len(found))
		for i := range found {
			all[i] = found[i]
		}
		return all, err
	}
}

// lookup finds Secrets.
type lookup struct {
	get    lookupSecret
	naming lookupNaming
}

// cached returns a lookup in the cache. A Pool whose providers need no Secrets has no cache.
func (p *Pool) cached() lookup {
	if p.options.Secrets == nil {
		return lookup{}
	}
	return lookup{p.options.Secrets.Get, naming(p.options.Secrets)}
}

// by returns a lookup with read, or in the cache if read is nil.
func (p *Pool) by(ctx context.Context, read readStoredSecret) lookup {
	by := p.cached()
	if read != nil {
		by.get = func(namespace, name string) (*corev1.Secret, error) { return read(ctx, namespace, name) }
	}
	if read != nil && p.options.StoredOf != nil {
		by.naming = func(namespace, name string) ([]metav1.Object, error) { return p.options.StoredOf(ctx, namespace, name) }
	}
	return by
}

// find returns the provider of the platform whose cluster profile stands for. Without one, it
// returns the first provider that profile has an entry for, and that entry, as choose does; and
// without such an entry, profile is adopted if a Secret with a kubeconfig names it. The provider of
// that Secret then finds the access, by an entry that the Secret implies.
func find(
	providers []namedProvider, naming lookupNaming, profile *inventoryv1alpha1.ClusterProfile,
) (namedProvider, *inventoryv1alpha1.AccessProvider, error) {
	if provider, ok := importer(providers, profile); ok {
		// What the profile's entries say is not used, and does not go into grants.
		return provider, &inventoryv1alpha1.AccessProvider{Name: provider.name}, nil
	}
	provider, entry, err := choose(providers, profile)
	if err == nil || !slices.ContainsFunc(providers, namedProvider.readsSecrets) {
		return provider, entry, err
	}
	found, secretsErr := naming(profile.Namespace, profile.Name)
	if secretsErr != nil {
		return provider, nil, &unreadError{secretsErr}
	}
	switch len(found) {
	case 0:
		return provider, nil, fmt.Errorf("%w; and no Secret with label %s=%s names it in the annotation %s=%s/%s",
			err, KubeconfigLabel, labelled, ClusterProfileAnnotation, profile.Namespace, profile.Name)
	case 1:
		return imply(providers, found[0])
	default:
		return provider, nil, fmt.Errorf("several Secrets name it in the annotation %s, and only one may: %s/%s and %s/%s",
			ClusterProfileAnnotation, found[0].GetNamespace(), found[0].GetName(), found[1].GetNamespace(), found[1].GetName())
	}
}

// imply returns the provider that may read a Secret, and the entry for it without the cluster. The
// Secret says which of its keys and contexts is for the profile.
func imply(providers []namedProvider, secret metav1.Object) (namedProvider, *inventoryv1alpha1.AccessProvider, error) {
	i := slices.IndexFunc(providers, func(p namedProvider) bool {
		reads, ok := p.provider.(*secretProvider)
		return ok && slices.Contains(reads.namespaces, secret.GetNamespace())
	})
	if i < 0 {
		return namedProvider{}, nil, errors.New("member kubeconfigs are not read from the namespace of its Secret")
	}
	annotations := secret.GetAnnotations()
	reference, err := json.Marshal(SecretReference{
		Name: secret.GetName(), Namespace: secret.GetNamespace(), Key: annotations[KeyAnnotation], Context: annotations[ContextAnnotation],
	})
	return providers[i], &inventoryv1alpha1.AccessProvider{Name: providers[i].name, Cluster: clientcmdv1.Cluster{
		Extensions: []clientcmdv1.NamedExtension{{Name: execExtension, Extension: runtime.RawExtension{Raw: reference}}},
	}}, err
}

// complete returns entry with the cluster that it leads to, if it is one that a Secret implies.
func complete(entry *inventoryv1alpha1.AccessProvider, a *access) *inventoryv1alpha1.AccessProvider {
	if entry.Cluster.Server != "" {
		return entry
	}
	completed := entry.DeepCopy()
	completed.Cluster = a.cluster
	completed.Cluster.Extensions = entry.Cluster.Extensions
	return completed
}

// AccessProviders returns what of profile leads to its cluster: its access providers, or, if it is
// adopted or imported, the entry that its Secret implies, according to the cache. It calls nobody.
func (p *Pool) AccessProviders(profile *inventoryv1alpha1.ClusterProfile) []inventoryv1alpha1.AccessProvider {
	_, imported := importer(p.providers, profile)
	if _, _, err := choose(p.providers, profile); err == nil && !imported {
		return profile.Status.AccessProviders
	}
	from, err := p.origin(profile, p.cached())
	if err != nil {
		return profile.Status.AccessProviders
	}
	client, err := p.get(from, false)
	if err != nil {
		return profile.Status.AccessProviders
	}
	return []inventoryv1alpha1.AccessProvider{client.Provider()}
}
