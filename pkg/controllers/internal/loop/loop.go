// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package loop is what the controllers share: the work queue, in which tenants take turns, and the workers that reconcile what is in it.
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

// RetryError is the error of an item that could not be reconciled yet, and is to be after that time. It is no failure: the backoff of the item
// stays as it is.
type RetryError time.Duration

// Error implements error.
func (e RetryError) Error() string {
	return fmt.Sprintf("retry after %s", time.Duration(e))
}

// Begin returns a context for the controller with that name, whose logger has the name, once the caches are synced. It returns false if ctx
// ends before.
func Begin(ctx context.Context, name string, synced ...cache.InformerSynced) (context.Context, bool) {
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), name))
	return ctx, cache.WaitForNamedCacheSyncWithContext(ctx, synced...)
}

// Run reconciles the items of queue with as many workers until ctx ends, then shuts the queue down, and returns when all workers have stopped.
// Next says what reconcile returns, and what kind is.
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

// Next waits for an item of queue and reconciles it. It returns false once the queue is shut down. The context of reconcile has a logger with the
// item, under the key kind.
//
// An item is reconciled again after the time that reconcile returns; if that is zero, once it is added again. If reconcile returns an error, it
// is reconciled again with the queue's backoff, or after the time that the error says, if it is a RetryError; once ctx has ended, it is not.
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
	if later, ok := errors.AsType[RetryError](err); ok {
		queue.AddAfter(item, time.Duration(later))
		return true
	}
	if err != nil && ctx.Err() != nil {
		return true
	}
	if err != nil {
		klog.FromContext(ctx).V(2).Info("Trying again", "reason", err)
		queue.AddRateLimited(item)
		return true
	}
	queue.Forget(item)
	if again > 0 {
		queue.AddAfter(item, again)
	}
	return true
}

// Phase returns a number from 0 up to 1 that is always the same for an object: it spreads what is done periodically over the period, also after a
// restart.
func Phase(uid types.UID) float64 {
	hash := sha256.Sum256([]byte(uid))
	return float64(binary.BigEndian.Uint32(hash[:])) / (1 << 32)
}
