// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package profiles watches the ClusterProfiles of a hub, whoever serves them, and in whichever
// version of multicluster.x-k8s.io. In memory they are of upstream's v1alpha1. Its clientset reads
// and writes the inventory in the same way.
package profiles

import (
	"context"
	"maps"
	"slices"
	"time"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// NewInformer returns an informer of the ClusterProfiles of all namespaces, in the version that
// versions find, with an index by namespace. Each object has the apiVersion in which it was read.
//
// A CustomResourceDefinition accepts values that the Go types cannot hold: its format date-time
// takes lower-case letters and any offset. With a typed client one such object, written by whoever
// may edit one status, would end every list and watch. Here it costs that object what cannot be
// read of it.
func NewInformer(client dynamic.Interface, versions *Versions) cache.SharedIndexInformer {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			resource, err := versions.Resource(ctx, ClusterProfiles)
			if err != nil {
				return nil, err
			}
			found, err := client.Resource(resource).List(ctx, options)
			if err != nil {
				return nil, err
			}
			list := &inventoryv1alpha1.ClusterProfileList{ListMeta: metav1.ListMeta{
				ResourceVersion: found.GetResourceVersion(), Continue: found.GetContinue(), RemainingItemCount: found.GetRemainingItemCount(),
			}}
			for i := range found.Items {
				list.Items = append(list.Items, *Decode(ctx, &found.Items[i]))
			}
			return list, nil
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			resource, err := versions.Resource(ctx, ClusterProfiles)
			if err != nil {
				return nil, err
			}
			events, err := client.Resource(resource).Watch(ctx, options)
			if err != nil {
				return nil, err
			}
			return watch.Filter(events, func(event watch.Event) (watch.Event, bool) {
				if object, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Error {
					event.Object = Decode(ctx, object)
				}
				return event, true
			}), nil
		},
	}, client), &inventoryv1alpha1.ClusterProfile{}, 0, byNamespace)
}

// WithoutManagedFields is a transform for informers of any kind. It saves memory: nothing reads
// managedFields.
func WithoutManagedFields(object any) (any, error) {
	if accessor, err := apimeta.Accessor(object); err == nil {
		accessor.SetManagedFields(nil)
	}
	return object, nil
}

// Decode returns object, of either version, as a ClusterProfile: v1alpha2 has no field that
// v1alpha1 has not. It leaves out what the type cannot hold: a time becomes the beginning of 1970,
// an access provider goes, and if that is not enough the whole status or spec does.
func Decode(ctx context.Context, object *unstructured.Unstructured) *inventoryv1alpha1.ClusterProfile {
	profile := &inventoryv1alpha1.ClusterProfile{}
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, profile)
	if err == nil {
		return profile
	}
	klog.FromContext(ctx).Error(err, "A part of a ClusterProfile can't be read", "clusterProfile", klog.KObj(object))
	whole := object.Object
	meta, _ := whole["metadata"].(map[string]any)
	spec, _ := whole["spec"].(map[string]any)
	status, _ := whole["status"].(map[string]any)
	profile = &inventoryv1alpha1.ClusterProfile{}
	readable(map[string]any{"apiVersion": whole["apiVersion"], "kind": whole["kind"], "metadata": meta}, profile)
	readable(spec, &profile.Spec)
	if !readable(withoutUnreadable(status), &profile.Status) {
		profile.Status = inventoryv1alpha1.ClusterProfileStatus{}
	}
	return profile
}

// readable converts from into to, and returns whether that was possible.
func readable(from map[string]any, to any) bool {
	return from != nil && runtime.DefaultUnstructuredConverter.FromUnstructured(from, to) == nil
}

// withoutUnreadable returns status with times that can be read, and without the access providers
// that cannot.
func withoutUnreadable(status map[string]any) map[string]any {
	status = maps.Clone(status)
	for _, of := range []struct{ list, time string }{{"conditions", "lastTransitionTime"}, {"properties", "lastObservedTime"}} {
		items, _ := status[of.list].([]any)
		items = slices.Clone(items)
		for i := range items {
			item, ok := items[i].(map[string]any)
			value, isString := item[of.time].(string)
			if _, err := time.Parse(time.RFC3339, value); ok && isString && err != nil {
				item = maps.Clone(item)
				item[of.time] = time.Unix(0, 0).UTC().Format(time.RFC3339)
				items[i] = item
			}
		}
		if items != nil {
			status[of.list] = items
		}
	}
	for _, list := range []string{"accessProviders", "credentialProviders"} {
		providers, ok := status[list].([]any)
		if ok {
			status[list] = slices.DeleteFunc(slices.Clone(providers), func(provider any) bool {
				entry, ok := provider.(map[string]any)
				return !ok || !readable(entry, &inventoryv1alpha1.AccessProvider{})
			})
		}
	}
	return status
}
