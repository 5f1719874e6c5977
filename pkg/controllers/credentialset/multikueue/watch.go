// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package multikueue

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/kueue"
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
