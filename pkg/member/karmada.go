// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// KarmadaClusterResource is the resource of Karmada's Clusters, which are cluster-scoped.
var KarmadaClusterResource = schema.GroupVersionResource{Group: "cluster.karmada.io", Version: "v1alpha1", Resource: "clusters"}

// maxEndpoint bounds an address in a Cluster of Karmada, in bytes. v1alpha2 of ClusterProfiles
// takes no longer one.
const maxEndpoint = 2048

// KarmadaCluster is what of a Cluster of Karmada leads to the member. It is compared by value.
type KarmadaCluster struct {
	metav1.ObjectMeta
	karmadaSpec
	// unreadable says that a field is of another type or too long.
	unreadable bool
}

// karmadaSpec are those fields of a Cluster's spec.
type karmadaSpec struct {
	APIEndpoint string            `json:"apiEndpoint,omitempty"`
	SecretRef   *karmadaReference `json:"secretRef,omitempty"`
	// Insecure is refused.
	Insecure bool   `json:"insecureSkipTLSVerification,omitempty"`
	ProxyURL string `json:"proxyURL,omitempty"`
	// ProxyHeader is refused if there is a proxy; Karmada ignores it without one.
	ProxyHeader map[string]string `json:"proxyHeader,omitempty"`
}

type karmadaReference struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

// KarmadaClusters has Karmada's Clusters. *SecretInformers implements it.
type KarmadaClusters interface {
	// KarmadaCluster returns a Cluster, which the caller must not change. Its error satisfies
	// apierrors.IsNotFound if there is none.
	KarmadaCluster(name string) (*KarmadaCluster, error)
}

var _ KarmadaClusters = (*SecretInformers)(nil)

// NewKarmadaCluster returns what of an object leads to the member.
func NewKarmadaCluster(object *unstructured.Unstructured) *KarmadaCluster {
	cluster := &KarmadaCluster{ObjectMeta: metav1.ObjectMeta{
		Name: object.GetName(), UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
	}}
	spec, _, _ := unstructured.NestedMap(object.Object, "spec")
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(spec, &cluster.karmadaSpec)
	if err != nil || len(cluster.APIEndpoint) > maxEndpoint || len(cluster.ProxyURL) > maxEndpoint {
		cluster.karmadaSpec, cluster.unreadable = karmadaSpec{}, true
	}
	return cluster
}

// server returns the URL of the API server. Karmada also takes HOST and HOST:PORT.
func (c *KarmadaCluster) server() string {
	if strings.Contains(c.APIEndpoint, "://") {
		return c.APIEndpoint
	}
	return "https://" + c.APIEndpoint
}

// check returns why no member is reached by the Cluster.
func (c *KarmadaCluster) check() error {
	switch {
	case c.unreadable:
		return fmt.Errorf("the spec of the Cluster %s of Karmada can't be read", c.Name)
	case c.SecretRef == nil || c.APIEndpoint == "":
		return fmt.Errorf("the Cluster %s of Karmada has no apiEndpoint or no secretRef: clusters in pull mode are not reached", c.Name)
	case c.Insecure:
		return fmt.Errorf("insecureSkipTLSVerification of the Cluster %s of Karmada is refused", c.Name)
	case c.ProxyURL != "" && len(c.ProxyHeader) > 0:
		return fmt.Errorf("proxyHeader of the Cluster %s of Karmada is not supported", c.Name)
	case c.SecretRef.Name != c.Name:
		return fmt.Errorf("secretRef of the Cluster %s of Karmada must name a Secret of the same name", c.Name)
	}
	return nil
}

// newKarmadaInformer returns an informer of KarmadaClusters.
func newKarmadaInformer(objects dynamic.Interface) cache.SharedIndexInformer {
	all, indexers := metav1.NamespaceAll, cache.Indexers{}
	informer := dynamicinformer.NewFilteredDynamicInformer(objects, KarmadaClusterResource, all, 0, indexers, nil).Informer()
	utilruntime.Must(informer.SetTransform(func(object any) (any, error) {
		if read, ok := object.(*unstructured.Unstructured); ok {
			return NewKarmadaCluster(read), nil
		}
		return object, nil
	}))
	utilruntime.Must(informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if apierrors.IsNotFound(err) || apimeta.IsNoMatchError(err) {
			err = fmt.Errorf("the hub does not serve %s: is it Karmada's? %w", KarmadaClusterResource.GroupVersion(), err)
		}
		cache.DefaultWatchErrorHandler(ctx, r, err)
	}))
	return informer
}

// karmadaHandler calls changed with the name of a Cluster that is new, gone, or leads elsewhere.
// Their status changes all the time.
func karmadaHandler(changed func(name string)) cache.ResourceEventHandler {
	call := func(object any) {
		if name, err := cache.DeletionHandlingObjectToName(object); err == nil {
			changed(name.Name)
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			if !initial {
				call(object)
			}
		},
		DeleteFunc: call,
		UpdateFunc: func(old, object any) {
			before, was := old.(*KarmadaCluster)
			after, is := object.(*KarmadaCluster)
			if was && is && !before.sameAccess(after) {
				call(object)
			}
		},
	}
}

// KarmadaCluster implements KarmadaClusters, from the cache.
func (s *SecretInformers) KarmadaCluster(name string) (*KarmadaCluster, error) {
	clusters := s.platforms.clusters
	if clusters == nil || !clusters.HasSynced() {
		return nil, errors.New("they are not read yet")
	}
	found, ok, err := clusters.GetStore().GetByKey(name)
	cluster, isCluster := found.(*KarmadaCluster)
	if err != nil || !ok || !isCluster {
		return nil, apierrors.NewNotFound(KarmadaClusterResource.GroupResource(), name)
	}
	return cluster, nil
}

// sameAccess returns whether two states of a Cluster lead to a member in the same way.
func (c *KarmadaCluster) sameAccess(other *KarmadaCluster) bool {
	return c.UID == other.UID && c.unreadable == other.unreadable && equality.Semantic.DeepEqual(c.karmadaSpec, other.karmadaSpec)
}
