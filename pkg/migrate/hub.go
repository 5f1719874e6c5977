// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
)

// Hub has the clients for the hub that is migrated.
type Hub struct {
	// URL is that of its kube-apiserver, for people to know it by.
	URL         string
	Kube        kubernetes.Interface
	CRDs        apiextensions.Interface
	APIServices aggregator.Interface
	Objects     dynamic.Interface
	// Metadata and Mapper find the owners of objects, of whatever kind.
	Metadata metadata.Interface
	Mapper   meta.RESTMapper
}

// NewHub returns clients that act as config says, at their own pace: one request after the other.
func NewHub(config *rest.Config) (*Hub, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	hub := &Hub{URL: config.Host}
	var err error
	if hub.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the hub: %w", err)
	}
	if hub.CRDs, err = apiextensions.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the hub's CustomResourceDefinitions: %w", err)
	}
	if hub.APIServices, err = aggregator.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the hub's APIServices: %w", err)
	}
	if hub.Objects, err = dynamic.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the hub's inventory: %w", err)
	}
	if hub.Metadata, err = metadata.NewForConfig(config); err != nil {
		return nil, fmt.Errorf("client for the hub's metadata: %w", err)
	}
	// In memory: what kubectl keeps on disk of the hub's discovery is out of date after the migration.
	hub.Mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(hub.Kube.Discovery()))
	return hub, nil
}
