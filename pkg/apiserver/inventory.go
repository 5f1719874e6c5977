// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"

	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/registry/clusterprofile"
	"clusterpass.dev/pkg/registry/placementdecision"
)

const (
	// InventoryServed is the mode in which this server stores and serves the group multicluster.x-k8s.io.
	InventoryServed = "Served"
	// InventoryExternal is the mode in which that group is left to the CRD that the hub has of
	// ClusterProfile and to whoever manages it: ClusterProfiles are read, and clusterpass.dev alone is served.
	InventoryExternal = "External"
)

// hubWatch is what the server keeps an eye on at the hub, so that ClusterProfiles are served by one side and found.
type hubWatch interface {
	// HealthChecker says why the server is not ready because of what it sees.
	healthz.HealthChecker
	// Run watches until ctx ends and returns when all has stopped.
	Run(ctx context.Context)
}

// addInventory fills in what the mode, InventoryServed or InventoryExternal, takes. Nothing is asked of the hub yet.
// It may change hub.
func (c *ExtraConfig) addInventory(mode string, hub *restclient.Config) error {
	if mode == InventoryServed {
		return c.addClashingCRDs(hub)
	}
	return c.addExternalProfiles(hub)
}

func (c *ExtraConfig) addClashingCRDs(hub *restclient.Config) error {
	// JSON would be decoded at several times the cost, and a hub may have megabytes of schemas.
	hub.ContentType = runtime.ContentTypeProtobuf
	hub.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client, err := apiextensions.NewForConfig(hub)
	if err != nil {
		return fmt.Errorf("client for the hub's CustomResourceDefinitions: %w", err)
	}
	crds, err := newClashingCRDs(client)
	c.HubWatch = crds
	return err
}

func (c *ExtraConfig) addExternalProfiles(hub *restclient.Config) error {
	client, err := dynamic.NewForConfig(hub)
	if err != nil {
		return fmt.Errorf("client for the hub's ClusterProfiles: %w", err)
	}
	profiles, err := newExternalProfiles(client)
	c.ExternalProfiles, c.HubWatch = profiles, profiles
	return err
}

// inventory returns where ClusterProfiles are looked up, and the storage of the group multicluster.x-k8s.io
// but for what hands out tokens; it is nil if that group is left to others.
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

// watchHub ties what is watched at the hub to the life of the server and to its readiness.
func (c completedConfig) watchHub(generic *genericapiserver.GenericAPIServer) error {
	if err := generic.AddPostStartHook(c.extra.HubWatch.Name(), func(hook genericapiserver.PostStartHookContext) error {
		go c.extra.HubWatch.Run(hook)
		return nil
	}); err != nil {
		return fmt.Errorf("watch on the hub: %w", err)
	}
	if err := generic.AddReadyzChecks(c.extra.HubWatch); err != nil {
		return fmt.Errorf("readiness of the inventory: %w", err)
	}
	return nil
}
