// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/clusterprofile"
	"clusterpass.dev/pkg/registry/placementdecision"
)

// hubWatch watches objects of the hub to make sure that ClusterProfiles exist and only one side
// serves them.
type hubWatch interface {
	// HealthChecker fails while the watched objects keep the server from being ready.
	healthz.HealthChecker
	// Run watches until ctx ends. It returns when all watches have stopped.
	Run(ctx context.Context)
}

// addInventory fills in the fields for the mode, hub.InventoryServed or hub.InventoryExternal. It
// sends no request to the hub. It may change config.
func (c *ExtraConfig) addInventory(mode string, config *restclient.Config) error {
	if mode == hub.InventoryExternal {
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client for the hub's ClusterProfiles: %w", err)
		}
		profiles, err := newExternalProfiles(client)
		c.ExternalProfiles, c.HubWatch = profiles, profiles
		return err
	}
	// Decoding JSON costs several times as much, and a hub may have megabytes of schemas.
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := apiextensions.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("client for the hub's CustomResourceDefinitions: %w", err)
	}
	c.HubWatch, err = newClashingCRDs(client)
	return err
}

// inventory returns the reader of ClusterProfiles, and the storages of the group
// multicluster.x-k8s.io without those that return tokens. The storages are nil if this server does
// not serve that group.
func (c completedConfig) inventory() (mint.Profiles, map[string]rest.Storage, error) {
	if c.extra.ExternalProfiles != nil {
		return c.extra.ExternalProfiles, nil, nil
	}
	profiles, profileStatus, err := clusterprofile.NewREST(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, nil, fmt.Errorf("storage of clusterprofiles: %w", err)
	}
	decisions, err := placementdecision.NewREST(Scheme, c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, nil, fmt.Errorf("storage of placementdecisions: %w", err)
	}
	c.limit(profiles.Store.Store, decisions.Store.Store)
	return clusterprofile.NewGetter(profiles.Store), map[string]rest.Storage{
		"clusterprofiles":        profiles,
		"clusterprofiles/status": profileStatus,
		"placementdecisions":     decisions,
	}, nil
}
