// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"sync/atomic"

	"k8s.io/client-go/tools/cache"
)

// follower is an informer that can say why it has read nothing yet.
type follower struct {
	cache.SharedIndexInformer
	failure atomic.Pointer[error]
}

// newFollower takes informer over, which has not been started. What it keeps of an object is up to transform.
func newFollower(informer cache.SharedIndexInformer, transform cache.TransformFunc) (*follower, error) {
	f := &follower{SharedIndexInformer: informer}
	if err := informer.SetTransform(transform); err != nil {
		return nil, err
	}
	return f, informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		f.failure.Store(&err)
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
}

// Err returns nil once everything has been read, and for good: what comes later is a hub that cannot be
// reached for a while, when what was read last is the best there is. Before that it is the last failure.
func (f *follower) Err() error {
	if f.HasSynced() {
		return nil
	}
	if failure := f.failure.Load(); failure != nil {
		return *failure
	}
	return errors.New("the hub has not answered yet")
}
