// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package loop has the common parts of the controllers: the work queue, in which tenants take
// turns, and the workers that reconcile its items.
package loop

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
)

// RetryError is the error of an item that could not be reconciled yet, and must be reconciled again
// after that duration. It does not count as a failure, and does not change the backoff of the item.
type RetryError time.Duration

// Error implements error.
func (e RetryError) Error() string {
	return fmt.Sprintf("retry after %s", time.Duration(e))
}

// Begin waits until the caches have synced. It returns a context for the controller, with a logger
// of that name, and false if ctx ends first.
func Begin(ctx context.Context, name string, synced ...cache.InformerSynced) (context.Context, bool) {
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), name))
	return ctx, cache.WaitForNamedCacheSyncWithContext(ctx, synced...)
}

// Run reconciles the items of queue with that number of workers until ctx ends. Then it shuts the
// queue down, and returns when all workers have stopped. See Next for kind and for the results of
// reconcile.
func Run[T comparable](
	ctx context.Context, queue workqueue.TypedRateLimitingInterface[T], workers int, kind string,
	reconcile func(ctx context.Context, item T) (time.Duration, error),
) {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			defer utilruntime.HandleCrashWithContext(ctx)
			for Next(ctx, queue, kind, reconcile) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
	running.Wait()
}

// Next waits for an item of queue and reconciles it. It returns false once the queue is shut down.
// The context of reconcile has a logger with the item as the value of kind.
//
// If reconcile returns a duration, the item is reconciled again after it. If the duration is zero,
// the item is reconciled when it is added again. If reconcile returns an error, the item is
// reconciled again with the queue's backoff, or after the duration of a RetryError. After ctx has
// ended, it is not reconciled again.
func Next[T comparable](
	ctx context.Context, queue workqueue.TypedRateLimitingInterface[T], kind string,
	reconcile func(ctx context.Context, item T) (time.Duration, error),
) bool {
	item, shutdown := queue.Get()
	if shutdown {
		return false
	}
	defer queue.Done(item)
	ctx = klog.NewContext(ctx, klog.LoggerWithValues(klog.FromContext(ctx), kind, item))
	again, err := reconcile(ctx, item)
	later, isRetry := errors.AsType[RetryError](err)
	switch {
	case isRetry:
		queue.AddAfter(item, time.Duration(later))
	case err == nil:
		queue.Forget(item)
		if again > 0 {
			queue.AddAfter(item, again)
		}
	case ctx.Err() == nil:
		klog.FromContext(ctx).V(2).Info("Trying again", "reason", err)
		queue.AddRateLimited(item)
	}
	return true
}

// Phase returns a number in [0, 1) that is always the same for an object. It spreads periodic work
// over the period, also after a restart.
func Phase(uid types.UID) float64 {
	hash := sha256.Sum256([]byte(uid))
	return float64(binary.BigEndian.Uint32(hash[:])) / (1 << 32)
}

// Object returns the object of an event as a T. It also accepts the tombstone of a missed deletion.
func Object[T any](obj any) (T, bool) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	of, ok := obj.(T)
	return of, ok
}

// Typed returns a function for a handler that calls handle with the object of an event as Object
// returns it.
func Typed[T any](handle func(object T)) func(obj any) {
	return func(obj any) {
		if object, ok := Object[T](obj); ok {
			handle(object)
		}
	}
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
