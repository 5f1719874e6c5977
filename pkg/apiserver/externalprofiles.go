// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	informers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"
	listers "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/pkg/mint"
)

// externalProfiles reads the ClusterProfiles that the hub serves without this server.
type externalProfiles struct {
	hub      inventory.Interface
	informer *follower
	lister   listers.ClusterProfileLister
}

var (
	_ mint.Profiles = (*externalProfiles)(nil)
	_ hubWatch      = (*externalProfiles)(nil)
)

func newExternalProfiles(hub inventory.Interface) (*externalProfiles, error) {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	informer, err := newFollower(informers.NewClusterProfileInformer(hub, metav1.NamespaceAll, 0, byNamespace), profileWithoutManagedFields, explainProfiles)
	if err != nil {
		return nil, fmt.Errorf("informer for the hub's ClusterProfiles: %w", err)
	}
	return &externalProfiles{hub: hub, informer: informer, lister: listers.NewClusterProfileLister(informer.GetIndexer())}, nil
}

// profileWithoutManagedFields saves memory: nobody here asks who set which field.
func profileWithoutManagedFields(object any) (any, error) {
	if profile, ok := object.(*inventoryv1alpha1.ClusterProfile); ok {
		profile.ManagedFields = nil
	}
	return object, nil
}

// Get implements mint.Profiles. It reads the informer's cache, and asks the hub only when that has no such
// profile: one created a moment ago is found. Before the cache is filled it is a 503.
func (p *externalProfiles) Get(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	if err := p.informer.Err(); err != nil {
		return nil, apierrors.NewServiceUnavailable("the hub's ClusterProfiles are not read yet")
	}
	profile, err := p.lister.ClusterProfiles(namespace).Get(name)
	if !apierrors.IsNotFound(err) {
		return profile, err
	}
	return p.hub.ApisV1alpha1().ClusterProfiles(namespace).Get(ctx, name, metav1.GetOptions{})
}

// Run implements hubWatch.
func (p *externalProfiles) Run(ctx context.Context) {
	p.informer.RunWithContext(ctx)
}

// Name implements hubWatch.
func (p *externalProfiles) Name() string { return "clusterpass-external-profiles" }

// Check implements hubWatch: it fails until the ClusterProfiles have been read. A CRD that is deleted later
// takes all of them with it; they are then not found, and grants can still be listed and revoked.
func (p *externalProfiles) Check(*http.Request) error { return p.informer.Err() }

// explainProfiles says why the ClusterProfiles are not read.
func explainProfiles(err error) error {
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the hub has no ClusterProfiles (clusterprofiles.%s in version %s): install their CustomResourceDefinition, or run with --inventory=%s: %w",
			inventoryv1alpha1.Group, inventoryv1alpha1.Version, InventoryServed, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("the hub's ClusterProfiles are not read: the server needs get, list and watch on them, see artifacts/deploy/rbac: %w", err)
	default:
		return fmt.Errorf("the hub's ClusterProfiles are not read yet: %w", err)
	}
}
