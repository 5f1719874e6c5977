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
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
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

// watch starts to watch the objects of sets, if it has not yet. It returns an error until they have been read.
func (k *Keeper) watch(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.listers == nil {
		if err := k.usable(ctx); err != nil {
			return err
		}
		if err := k.start(); err != nil {
			return err
		}
	}
	for _, synced := range k.synced {
		if !synced() {
			return errNotRead
		}
	}
	return nil
}

func (k *Keeper) start() error {
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(k.objects, 0, metav1.NamespaceAll, func(options *metav1.ListOptions) {
		options.LabelSelector = v1alpha1.LabelCredentialSetUID
	})
	listers := map[kind]cache.GenericLister{}
	var all []cache.InformerSynced
	for _, of := range kinds {
		informer := factory.ForResource(of.resource)
		synced, err := loop.AddHandler(of.resource.Resource, informer.Informer(), loop.Always(k.notify))
		if err != nil {
			return err
		}
		listers[of] = informer.Lister()
		all = append(all, synced)
	}
	k.listers, k.synced = listers, all
	factory.Start(k.ctx.Done())
	return nil
}

// notify calls changed for the set that owns an object.
func (k *Keeper) notify(obj any) {
	if object, ok := loop.Object[*unstructured.Unstructured](obj); ok {
		k.changed(types.UID(object.GetLabels()[v1alpha1.LabelCredentialSetUID]), object.GetAnnotations()[annotationSet])
	}
}
