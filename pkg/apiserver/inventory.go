// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/mint"
	"clusterpass.dev/pkg/profiles"
	"clusterpass.dev/pkg/registry/clusterprofile"
	"clusterpass.dev/pkg/registry/placementdecision"
)

// hubWatch watches objects of the hub to make sure that ClusterProfiles exist and only one side
// serves them.
type hubWatch interface {
	// HealthChecker fails while the watched objects keep the server from being ready.
	healthz.HealthChecker
	// RunWithContext watches until ctx ends. It returns when all watches have stopped.
	RunWithContext(ctx context.Context)
}

// follower is an informer that reports why it has not synced yet. It is a hubWatch.
type follower struct {
	cache.SharedIndexInformer

	name string
	// explain adds to an error what it means for the server, and how to fix it.
	explain func(error) error
	failure atomic.Pointer[error]
}

// newFollower returns a follower of informer, which must not have been started. transform reduces
// objects in the cache.
func newFollower(
	name string, informer cache.SharedIndexInformer, transform cache.TransformFunc, explain func(error) error,
) (*follower, error) {
	f := &follower{SharedIndexInformer: informer, name: name, explain: explain}
	if err := informer.SetTransform(transform); err != nil {
		return nil, err
	}
	return f, informer.SetWatchErrorHandlerWithContext(f.handle)
}

func (f *follower) handle(ctx context.Context, r *cache.Reflector, err error) {
	if f.HasSynced() {
		cache.DefaultWatchErrorHandler(ctx, r, err)
		return
	}
	f.failure.Store(&err)
	klog.FromContext(ctx).Error(f.explain(err), "Not ready")
}

// Name implements healthz.HealthChecker.
func (f *follower) Name() string { return f.name }

// Check implements healthz.HealthChecker. It returns nil after the informer has synced once, even
// if the hub becomes unreachable later: the cache then has the best available data. Before that, it
// explains the last error.
func (f *follower) Check(*http.Request) error {
	if f.HasSynced() {
		return nil
	}
	if failure := f.failure.Load(); failure != nil {
		return f.explain(*failure)
	}
	return f.explain(errors.New("the hub has not answered yet"))
}

// addInventory fills in the fields for the mode, hub.InventoryServed or hub.InventoryExternal. It
// sends no request to the hub. It may change config.
func (c *ExtraConfig) addInventory(mode string, config *restclient.Config) error {
	if mode == hub.InventoryExternal {
		asking, err := discovery.NewDiscoveryClientForConfig(config)
		if err != nil {
			return fmt.Errorf("client for the hub's discovery: %w", err)
		}
		versions := profiles.NewVersions(asking)
		config.Wrap(versions.Wrap)
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client for the hub's ClusterProfiles: %w", err)
		}
		profiles, err := newExternalProfiles(client, versions)
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
	c.limit(profiles.Store, decisions.Store)
	return clusterprofile.NewGetter(profiles), map[string]rest.Storage{
		"clusterprofiles":        profiles,
		"clusterprofiles/status": profileStatus,
		"placementdecisions":     decisions,
	}, nil
}
