// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sharedread confirms refusals. A cache may be some milliseconds behind what is stored, so
// a refusal that rests on it may be wrong: before it is given, the object is read as it is stored.
//
// It is no cache. Look in your cache first, and read only before you refuse.
package sharedread

import (
	"context"
	"fmt"
	"sync"
	"time"

	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
)

const (
	// Interval is the least time between the beginnings of two reads of one object.
	Interval = time.Second
	// timeout bounds one read.
	timeout = 5 * time.Second
	// remembered bounds the objects whose last read is remembered, at about 200 bytes each. One
	// that is forgotten may be read again within Interval.
	remembered = 10_000
)

// Reader reads objects of one kind. It is safe for concurrent use.
//
// Requests that are refused must not load the hub's etcd, whoever sends how many of them: a read is
// shared by all who ask before it begins, and the next one of the same object begins no sooner than
// Interval later. No answer is older than its question: who asks while a read is under way
// waits for the next one.
type Reader[K comparable, V any] struct {
	read  func(ctx context.Context, key K) (V, error)
	clock clock.Clock

	mu sync.Mutex
	// next are the reads that have not begun.
	next map[K]*call[V]
	// begun is when the last read of an object has begun.
	begun *utilcache.LRUExpireCache
}

// call is one read, for everybody who waits for it.
type call[V any] struct {
	callers int
	cancel  context.CancelFunc
	done    chan struct{}
	// value and err are set when done is closed.
	value V
	err   error
}

// NewReader returns a Reader that reads an object by read. Callers share what it returns, and do
// not change it.
func NewReader[K comparable, V any](c clock.Clock, read func(ctx context.Context, key K) (V, error)) *Reader[K, V] {
	return &Reader[K, V]{
		read:  read,
		clock: c,
		next:  map[K]*call[V]{},
		begun: utilcache.NewLRUExpireCacheWithClock(remembered, c),
	}
}

// Get returns the object, or the error of reading it, as it was stored after Get was called. When
// ctx ends first it returns why ctx ended; others go on waiting for the same read, and with the
// last of them it ends.
func (r *Reader[K, V]) Get(ctx context.Context, key K) (value V, err error) {
	c := r.join(ctx, key)
	select {
	case <-c.done:
		return c.value, c.err
	case <-ctx.Done():
		r.leave(key, c)
		return value, context.Cause(ctx)
	}
}

// join returns the next read of an object, which is started where nobody has.
func (r *Reader[K, V]) join(ctx context.Context, key K) *call[V] {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, ok := r.next[key]
	if !ok {
		c = &call[V]{done: make(chan struct{})}
		ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:gosec // The last caller to leave cancels, or the end of the read.
		r.next[key] = c
		go r.run(ctx, key, c)
	}
	c.callers++
	return c
}

// leave ends a read that nobody waits for any more.
func (r *Reader[K, V]) leave(key K, c *call[V]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.callers--
	if c.callers > 0 {
		return
	}
	c.cancel()
	if r.next[key] == c {
		delete(r.next, key)
	}
}

func (r *Reader[K, V]) run(ctx context.Context, key K, c *call[V]) {
	defer close(c.done)
	defer c.cancel()
	r.await(ctx, key)
	if c.err = r.begin(ctx, key); c.err != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it was not read within %s", timeout))
	defer cancel()
	c.value, c.err = r.read(ctx, key)
}

// await returns when the object may be read again, or ctx ends.
func (r *Reader[K, V]) await(ctx context.Context, key K) {
	last, _ := r.begun.Get(key)
	begun, ok := last.(time.Time)
	left := begun.Add(Interval).Sub(r.clock.Now())
	if !ok || left <= 0 {
		return
	}
	timer := r.clock.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C():
	case <-ctx.Done():
	}
}

// begin closes a read to those who ask from now on, unless all who wanted it have gone.
func (r *Reader[K, V]) begin(ctx context.Context, key K) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	delete(r.next, key)
	r.begun.Add(key, r.clock.Now(), Interval)
	return nil
}
