// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/rights"
)

// verbs are the rights that the controller manager needs on Kueue's objects.
var verbs = []string{"get", "list", "watch", "create", "update", "delete"}

var (
	// errNotInstalled says that the hub has no Kueue, or an older one.
	errNotInstalled = fmt.Errorf("the hub does not serve %s: Kueue is not installed there, or too old", groupVersion)
	// errNotRead says that Kueue's objects have not been read yet.
	errNotRead = errors.New("the objects of Kueue are not read yet")
)

// forbiddenError says that the controller manager may not write objects of Kueue, and how to allow
// it.
type forbiddenError struct {
	missing []string
}

// Error implements error.
func (e *forbiddenError) Error() string {
	return fmt.Sprintf("the controller manager may not %s. To allow it: kubectl create clusterrolebinding clusterpass-multikueue "+
		"--clusterrole=clusterpass:multikueue --serviceaccount=clusterpass-system:clusterpass-controller-manager", strings.Join(e.missing, "; "))
}

// usable returns nil if the hub has Kueue, and the controller manager may write its objects.
func (k *Keeper) usable(ctx context.Context) error {
	_, err := k.hub.Discovery().ServerResourcesForGroupVersion(groupVersion.String())
	if apierrors.IsNotFound(err) {
		return errNotInstalled
	}
	if err != nil {
		return fmt.Errorf("looking for %s: %w", groupVersion, err)
	}
	var lacking []string
	for _, of := range kinds {
		missing, err := rights.Missing(ctx, k.hub, attributes(of.resource), verbs...)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			lacking = append(lacking, strings.Join(missing, ", ")+" "+of.resource.Resource)
		}
	}
	if len(lacking) > 0 {
		return &forbiddenError{lacking}
	}
	return nil
}

func attributes(resource schema.GroupVersionResource) authorizationv1.ResourceAttributes {
	return authorizationv1.ResourceAttributes{Group: resource.Group, Version: resource.Version, Resource: resource.Resource}
}

// open returns the informers of the objects of sets, with their listers, or the error of usable.
func (k *Keeper) open(ctx context.Context, namespace string) (map[kind]cache.GenericLister, []cache.SharedIndexInformer, error) {
	if err := k.usable(ctx); err != nil {
		return nil, nil, err
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(k.objects, 0, namespace, func(options *metav1.ListOptions) {
		options.LabelSelector = v1alpha1.LabelCredentialSetUID
	})
	listers := map[kind]cache.GenericLister{}
	var informers []cache.SharedIndexInformer
	for _, of := range kinds {
		informer := factory.ForResource(of.resource)
		listers[of] = informer.Lister()
		informers = append(informers, informer.Informer())
	}
	return listers, informers, nil
}
