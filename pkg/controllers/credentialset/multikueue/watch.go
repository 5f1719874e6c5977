// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/controllers/internal/loop"
)

// verbs are the rights that the controller manager needs on Kueue's objects.
var verbs = []string{"get", "list", "watch", "create", "update", "delete"}

// errNotRead says that Kueue's objects have not been read yet.
var errNotRead = errors.New("the objects of Kueue are not read yet")

// usable returns nil if the hub has Kueue, and the controller manager may write its objects. If it
// may not, the error says how to allow it.
func (k *Keeper) usable(ctx context.Context) error {
	err := kueue.Usable(ctx, k.hub, verbs, kueue.AdmissionChecks, kueue.MultiKueueConfigs, kueue.MultiKueueClusters)
	if _, ok := errors.AsType[kueue.ForbiddenError](err); ok {
		return fmt.Errorf("%w. To allow it: kubectl create clusterrolebinding clusterpass-multikueue "+
			"--clusterrole=clusterpass:multikueue --serviceaccount=clusterpass-system:clusterpass-controller-manager", err)
	}
	return err
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
