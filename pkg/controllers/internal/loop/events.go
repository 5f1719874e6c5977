// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"

	"k8s.io/client-go/tools/cache"
)

// Object returns the object of an event as a T. It also accepts the tombstone of a missed deletion.
func Object[T any](obj any) (T, bool) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	of, ok := obj.(T)
	return of, ok
}

// Always returns a handler that handles every event in the same way.
func Always(handle func(obj any)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{AddFunc: handle, UpdateFunc: func(_, obj any) { handle(obj) }, DeleteFunc: handle}
}

// AddHandler adds a handler to an informer. It returns a function that returns whether the handler
// has received the initial list. Its error names what.
func AddHandler(what string, informer cache.SharedIndexInformer, handler cache.ResourceEventHandler) (cache.InformerSynced, error) {
	registration, err := informer.AddEventHandler(handler)
	if err != nil {
		return nil, fmt.Errorf("watching %s: %w", what, err)
	}
	return registration.HasSynced, nil
}
