// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/rights"
)

// The platforms that can be imported.
const (
	Karmada    = "Karmada"
	ClusterAPI = "ClusterAPI"
)

// clusters is the resource of both platforms.
const clusters = "clusters"

// Platform says how the clusters of a platform are imported. Use NewPlatforms.
type Platform struct {
	// Manager is the spec.clusterManager.name of the ClusterProfiles.
	Manager string
	// provider is the name of the access provider for the clusters.
	provider string
	// group and versions are of the platform's API, the best version first.
	group    string
	versions []string
	// watched are the namespaces of Clusters: NamespaceAll if they are cluster-scoped.
	watched []string
	// profiles is the namespace of the ClusterProfiles; empty: that of the Cluster.
	profiles string
}

// NewPlatforms returns the platforms of these names. The configuration must have a provider for
// each.
func NewPlatforms(names []string, config *configv1alpha1.AccessConfiguration) ([]*Platform, error) {
	var all []*Platform
	for i, name := range names {
		var made *Platform
		var kind string
		switch {
		case slices.Contains(names[:i], name):
			return nil, fmt.Errorf("%s is there twice", name)
		case name == Karmada:
			made, kind = newKarmada(config), "karmadaSecret"
		case name == ClusterAPI:
			made, kind = newClusterAPI(config), "clusterAPISecret"
		default:
			return nil, fmt.Errorf("%q is neither %s nor %s", name, Karmada, ClusterAPI)
		}
		if made == nil {
			return nil, fmt.Errorf("%s needs a provider with %s in --access-config", name, kind)
		}
		all = append(all, made)
	}
	return all, nil
}

func newKarmada(config *configv1alpha1.AccessConfiguration) *Platform {
	for i := range config.Providers {
		if of := config.Providers[i].KarmadaSecret; of != nil {
			return &Platform{
				Manager: member.KarmadaManager, provider: config.Providers[i].Name,
				group: member.KarmadaClusterResource.Group, versions: []string{member.KarmadaClusterResource.Version},
				watched: []string{metav1.NamespaceAll}, profiles: of.ProfileNamespace,
			}
		}
	}
	return nil
}

func newClusterAPI(config *configv1alpha1.AccessConfiguration) *Platform {
	for i := range config.Providers {
		if of := config.Providers[i].ClusterAPISecret; of != nil {
			return &Platform{
				Manager: member.ClusterAPIManager, provider: config.Providers[i].Name,
				group: "cluster.x-k8s.io", versions: []string{"v1beta2", "v1beta1"}, watched: of.Namespaces,
			}
		}
	}
	return nil
}

// profileOf returns the name of the ClusterProfile of a Cluster.
func (p *Platform) profileOf(cluster cache.ObjectName) cache.ObjectName {
	if p.profiles != "" {
		return cache.NewObjectName(p.profiles, cluster.Name)
	}
	return cluster
}

// clusterOf returns the name of the Cluster of a ClusterProfile, and false if none of the
// platform's has a profile in that namespace.
func (p *Platform) clusterOf(profile cache.ObjectName) (cache.ObjectName, bool) {
	if p.profiles != "" {
		return cache.NewObjectName("", profile.Name), profile.Namespace == p.profiles
	}
	return profile, slices.Contains(p.watched, profile.Namespace)
}

// reader reads the Clusters of one namespace from the cache.
type reader struct {
	resource schema.GroupVersionResource
	store    cache.Store
}

// get returns a Cluster, or nil if there is none.
func (r *reader) get(name cache.ObjectName) (*unstructured.Unstructured, error) {
	found, ok, err := r.store.GetByKey(name.String())
	if err != nil || !ok {
		return nil, err
	}
	cluster, _ := found.(*unstructured.Unstructured)
	return cluster, nil
}

// open returns how to open the informers of a platform's Clusters.
func (c *Controller) open(p *Platform) ondemand.Open[*reader] {
	return func(ctx context.Context, namespace string) (*reader, []cache.SharedIndexInformer, error) {
		resource, err := c.resource(p)
		if err != nil {
			return nil, nil, err
		}
		missing, err := rights.Missing(ctx, c.Hub, authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: resource.Group, Version: resource.Version, Resource: resource.Resource,
		}, "get", "list", "watch")
		if err != nil {
			return nil, nil, err
		}
		if len(missing) > 0 {
			return nil, nil, fmt.Errorf("the controller manager may not %s %s", strings.Join(missing, ", "), resource.GroupResource())
		}
		informer := dynamicinformer.NewFilteredDynamicInformer(c.Objects, resource, namespace, 0, cache.Indexers{}, nil).Informer()
		if err := informer.SetTransform(keep); err != nil {
			return nil, nil, err
		}
		return &reader{resource: resource, store: informer.GetStore()}, []cache.SharedIndexInformer{informer}, nil
	}
}

// resource returns the resource of a platform's Clusters, in the best version that the hub serves.
func (c *Controller) resource(p *Platform) (schema.GroupVersionResource, error) {
	for _, version := range p.versions {
		served := schema.GroupVersion{Group: p.group, Version: version}
		_, err := c.Hub.Discovery().ServerResourcesForGroupVersion(served.String())
		if err == nil {
			return served.WithResource(clusters), nil
		}
		if !apierrors.IsNotFound(err) {
			return schema.GroupVersionResource{}, fmt.Errorf("looking for %s: %w", served, err)
		}
	}
	return schema.GroupVersionResource{}, fmt.Errorf("the hub does not serve %s in %s", p.group, strings.Join(p.versions, " or "))
}

// keep is a transform of the informers: it keeps what the controller reads of a Cluster.
func keep(object any) (any, error) {
	cluster, ok := object.(*unstructured.Unstructured)
	if !ok {
		return object, nil
	}
	kept := &unstructured.Unstructured{Object: map[string]any{}}
	kept.SetGroupVersionKind(cluster.GroupVersionKind())
	kept.SetNamespace(cluster.GetNamespace())
	kept.SetName(cluster.GetName())
	kept.SetUID(cluster.GetUID())
	kept.SetResourceVersion(cluster.GetResourceVersion())
	kept.SetDeletionTimestamp(cluster.GetDeletionTimestamp())
	if id, _, _ := unstructured.NestedString(cluster.Object, "spec", "id"); len(validation.IsValidLabelValue(id)) == 0 && id != "" {
		_ = unstructured.SetNestedField(kept.Object, id, "spec", "id")
	}
	return kept, nil
}
