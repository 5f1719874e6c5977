// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// follower is an informer that reports why it has not synced yet.
type follower struct {
	cache.SharedIndexInformer
	// explain adds to an error what it means for the server, and how to fix it.
	explain func(error) error
	failure atomic.Pointer[error]
}

// newFollower returns a follower of informer, which must not have been started. transform reduces
// objects in the cache.
func newFollower(informer cache.SharedIndexInformer, transform cache.TransformFunc, explain func(error) error) (*follower, error) {
	f := &follower{SharedIndexInformer: informer, explain: explain}
	if err := informer.SetTransform(transform); err != nil {
		return nil, err
	}
	return f, informer.SetWatchErrorHandlerWithContext(f.handle)
}

func (f *follower) handle(ctx context.Context, r *cache.Reflector, err error) {
	if f.HasSynced() {
		cache.DefaultWatchErrorHandler(ctx, r, err)
		return
	}
	f.failure.Store(&err)
	klog.FromContext(ctx).Error(f.explain(err), "Not ready")
}

// Err returns nil after the informer has synced once, even if the hub becomes unreachable later:
// the cache then has the best available data. Before that, Err explains the last error.
func (f *follower) Err() error {
	if f.HasSynced() {
		return nil
	}
	if failure := f.failure.Load(); failure != nil {
		return f.explain(*failure)
	}
	return f.explain(errors.New("the hub has not answered yet"))
}
