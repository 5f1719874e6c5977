// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/mint"
)

// profileGetter reads ClusterProfiles from the store of this process.
type profileGetter struct {
	store rest.Getter
}

var _ mint.Profiles = profileGetter{}

// Get implements mint.Profiles. It reads the watch cache, and etcd only when that
// has no such profile: one created a moment ago is found.
func (g profileGetter) Get(ctx context.Context, namespace, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	ctx = genericapirequest.WithNamespace(ctx, namespace)
	obj, err := g.store.Get(ctx, name, &metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		obj, err = g.store.Get(ctx, name, &metav1.GetOptions{})
	}
	if err != nil {
		return nil, err
	}
	profile, ok := obj.(*inventoryv1alpha1.ClusterProfile)
	if !ok {
		return nil, fmt.Errorf("the store of clusterprofiles holds a %T", obj)
	}
	return profile, nil
}
