// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/sharedread"
)

// Getter reads ClusterProfiles from the store of this process, for the minting pipeline. Use
// NewGetter.
type Getter struct {
	store  rest.Getter
	stored *sharedread.Reader[types.NamespacedName, *inventoryv1alpha1.ClusterProfile]
}

// NewGetter returns the Getter of a store.
func NewGetter(store rest.Getter) *Getter {
	g := &Getter{store: store}
	g.stored = sharedread.NewReader(clock.RealClock{},
		func(ctx context.Context, name types.NamespacedName) (*inventoryv1alpha1.ClusterProfile, error) {
			return g.get(ctx, name, "")
		})
	return g
}

// Cached implements mint.Profiles: it reads the watch cache.
func (g *Getter) Cached(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	return g.get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, "0")
}

// Stored implements mint.Profiles: it reads etcd.
func (g *Getter) Stored(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	return g.stored.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name})
}

func (g *Getter) get(ctx context.Context, name types.NamespacedName, resourceVersion string) (*inventoryv1alpha1.ClusterProfile, error) {
	// Without this request info, errors of the store would name the resource of the request that
	// ctx comes from.
	gv := inventoryv1alpha1.SchemeGroupVersion
	ctx = genericapirequest.WithRequestInfo(genericapirequest.WithNamespace(ctx, name.Namespace), &genericapirequest.RequestInfo{
		IsResourceRequest: true,
		APIPrefix:         "apis",
		APIGroup:          gv.Group,
		APIVersion:        gv.Version,
		Namespace:         name.Namespace,
		Resource:          "clusterprofiles",
	})
	obj, err := g.store.Get(ctx, name.Name, &metav1.GetOptions{ResourceVersion: resourceVersion})
	if err != nil {
		return nil, err
	}
	return toProfile(obj), nil
}
