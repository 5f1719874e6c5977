// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	listers "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/profiles"
	"clusterpass.dev/pkg/sharedread"
)

// externalProfiles reads ClusterProfiles that the hub serves with a CRD. If the CRD is deleted
// later, all ClusterProfiles are gone. They are then not found, and grants can still be listed and
// revoked.
type externalProfiles struct {
	*follower

	lister listers.ClusterProfileLister
	stored *sharedread.Reader[types.NamespacedName, *inventoryv1alpha1.ClusterProfile]
}

func newExternalProfiles(hub dynamic.Interface, versions *profiles.Versions) (*externalProfiles, error) {
	informer := profiles.NewInformer(hub, versions)
	f, err := newFollower("clusterpass-external-profiles", informer, profiles.WithoutManagedFields, explainProfiles)
	if err != nil {
		return nil, fmt.Errorf("informer for the hub's ClusterProfiles: %w", err)
	}
	return &externalProfiles{
		follower: f,
		lister:   listers.NewClusterProfileLister(informer.GetIndexer()),
		stored: sharedread.NewReader(clock.RealClock{}, func(
			ctx context.Context, key types.NamespacedName,
		) (*inventoryv1alpha1.ClusterProfile, error) {
			resource, err := versions.Resource(ctx, profiles.ClusterProfiles)
			if apimeta.IsNoMatchError(err) { // the CustomResourceDefinition has been deleted
				return nil, apierrors.NewNotFound(inventoryv1alpha1.Resource(profiles.ClusterProfiles), key.Name)
			}
			if err != nil {
				return nil, err
			}
			found, err := hub.Resource(resource).Namespace(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			return profiles.Decode(ctx, found), nil
		}),
	}, nil
}

// Cached implements mint.Profiles: it reads the informer's cache. It returns 503 until the cache
// has synced.
func (p *externalProfiles) Cached(_ context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	if err := p.ready(); err != nil {
		return nil, err
	}
	return p.lister.ClusterProfiles(namespace).Get(name)
}

// Stored implements mint.Profiles: it reads from the hub. It returns 503 until the cache has synced
// once: a hub without the CustomResourceDefinition would answer that each ClusterProfile is
// missing.
func (p *externalProfiles) Stored(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	if err := p.ready(); err != nil {
		return nil, err
	}
	return p.stored.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name})
}

func (p *externalProfiles) ready() error {
	if !p.HasSynced() {
		return apierrors.NewServiceUnavailable("the hub's ClusterProfiles are not read yet")
	}
	return nil
}

// explainProfiles returns an error that says why the ClusterProfiles have not been read.
func explainProfiles(err error) error {
	switch {
	case apierrors.IsNotFound(err), apimeta.IsNoMatchError(err):
		return fmt.Errorf("the hub has no ClusterProfiles (clusterprofiles.%s in version %s): install their CustomResourceDefinition, "+
			"have it serve one of these versions, or run with --inventory=%s: %w",
			inventoryv1alpha1.Group, hub.InventoryVersionNames(), hub.InventoryServed, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the hub's ClusterProfiles are not read: the server needs get, list and watch on them, see artifacts/deploy/rbac: %w",
			err)
	default:
		return fmt.Errorf("the hub's ClusterProfiles are not read yet: %w", err)
	}
}
