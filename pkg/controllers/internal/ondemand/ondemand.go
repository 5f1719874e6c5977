// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ondemand starts informers when a controller first needs them, if they can work: without
// its right or its API, an informer would retry for ever. Until the objects have been read, the
// controller gets an error that says why they have not.
//
// It is for informers that only some items of a controller need, so that it cannot wait for them
// before it runs. It does not look at rights or APIs itself, and stops no informer before the end.
package ondemand

import (
	"context"
	"slices"
	"sync"

	"k8s.io/client-go/tools/cache"
)

// Open returns the informers of a namespace, which have not been started, and a reader of their
// caches, such as a lister. If they cannot work, it returns an error that says why. It may be
// called concurrently for one namespace; the informers of one call are started.
type Open[T any] func(ctx context.Context, namespace string) (reader T, informers []cache.SharedIndexInformer, err error)

// Informers are informers by namespace; metav1.NamespaceAll is one, too. Those of a namespace start
// once, and run until the context of New ends. Informers is safe for concurrent use. Use New.
type Informers[T any] struct {
	ctx     context.Context //nolint:containedctx // Informers outlive the call that starts them.
	open    Open[T]
	handler cache.ResourceEventHandler
	notRead error

	mu      sync.Mutex
	started map[string]*group[T]
}

// group are the informers of one namespace.
type group[T any] struct {
	reader T
	synced []cache.InformerSynced
}

// New returns Informers, none of which has started. They come from open, send their events to
// handler, and stop when ctx ends. notRead is the error for objects that have not been read yet.
func New[T any](ctx context.Context, open Open[T], handler cache.ResourceEventHandler, notRead error) *Informers[T] {
	return &Informers[T]{ctx: ctx, open: open, handler: handler, notRead: notRead, started: map[string]*group[T]{}}
}

// Start starts the informers of a namespace unless they have started, and returns what Get returns.
// If they cannot work, it returns the error of Open, and the next call tries again. Open gets ctx.
func (i *Informers[T]) Start(ctx context.Context, namespace string) (reader T, err error) {
	if i.find(namespace) == nil {
		// Without the lock: a hub that answers slowly delays neither other namespaces nor Get.
		opened, informers, err := i.open(ctx, namespace)
		if err == nil {
			err = i.start(namespace, opened, informers)
		}
		if err != nil {
			return reader, err
		}
	}
	return i.Get(namespace)
}

// Get returns the reader of a namespace. It returns the error notRead until its informers have been
// started and have synced, and the handler has received their objects.
func (i *Informers[T]) Get(namespace string) (reader T, err error) {
	found := i.find(namespace)
	if found == nil || slices.ContainsFunc(found.synced, func(synced cache.InformerSynced) bool { return !synced() }) {
		return reader, i.notRead
	}
	return found.reader, nil
}

func (i *Informers[T]) find(namespace string) *group[T] {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.started[namespace]
}

// start starts the informers unless those of another call have started.
func (i *Informers[T]) start(namespace string, reader T, informers []cache.SharedIndexInformer) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.started[namespace] != nil {
		return nil
	}
	opened := &group[T]{reader: reader}
	for _, informer := range informers {
		registration, err := informer.AddEventHandler(i.handler)
		if err != nil {
			return err
		}
		opened.synced = append(opened.synced, registration.HasSynced)
	}
	for _, informer := range informers {
		go informer.RunWithContext(i.ctx)
	}
	i.started[namespace] = opened
	return nil
}
