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

// follower is an informer that can say why it has read nothing yet.
type follower struct {
	cache.SharedIndexInformer
	// explain says what an error means for the server, and what to do about it.
	explain func(error) error
	failure atomic.Pointer[error]
}

// newFollower takes informer over, which has not been started. What it keeps of an object is up to transform.
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

// Err returns nil once everything has been read, and for good: what comes later is a hub that cannot be
// reached for a while, when what was read last is the best there is. Before that it explains the last failure.
func (f *follower) Err() error {
	if f.HasSynced() {
		return nil
	}
	if failure := f.failure.Load(); failure != nil {
		return f.explain(*failure)
	}
	return f.explain(errors.New("the hub has not answered yet"))
}
