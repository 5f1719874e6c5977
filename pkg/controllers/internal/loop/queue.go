// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// NewQueue returns the work queue of the controller with that name. Failed items are retried after
// a delay between least and most.
func NewQueue[T comparable](name string, clock clock.WithTicker, least, most time.Duration) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.NewTypedItemExponentialFailureRateLimiter[T](least, most),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name, Clock: clock})
}

// NewOrderedQueue returns a work queue with its items in that order, and not first in, first out.
func NewOrderedQueue[T comparable](
	name string, clock clock.WithTicker, limiter workqueue.TypedRateLimiter[T], order workqueue.Queue[T],
) workqueue.TypedRateLimitingInterface[T] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Clock: clock, Queue: order})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[T]{
		Name: name, Clock: clock,
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{Name: name, Clock: clock, Queue: queue}),
	})
}

// Turns is an order of a work queue in which groups of items take turns, and so do groups within a
// group. The items of one tenant cannot delay those of others. The work queue locks it. Use
// NewTurns.
type Turns[T comparable] struct {
	length int
	// groupings return the group of an item, outermost groups first. Without groupings, items come in
	// the order of Push.
	groupings []func(T) string
	items     []T
	groups    map[string]*Turns[T]
	// order is the order of the groups' turns.
	order []string
}

var _ workqueue.Queue[string] = (*Turns[string])(nil)

// NewTurns returns an order without items. groupings return the name of an item's group, outermost
// groups first.
func NewTurns[T comparable](groupings ...func(T) string) *Turns[T] {
	return &Turns[T]{groupings: groupings}
}

// Touch implements workqueue.Queue.
func (*Turns[T]) Touch(T) {}

// Len implements workqueue.Queue.
func (q *Turns[T]) Len() int { return q.length }

// Push implements workqueue.Queue.
func (q *Turns[T]) Push(item T) {
	q.length++
	if len(q.groupings) == 0 {
		q.items = append(q.items, item)
		return
	}
	name := q.groupings[0](item)
	group := q.groups[name]
	if group == nil {
		group = NewTurns(q.groupings[1:]...)
		if q.groups == nil {
			q.groups = map[string]*Turns[T]{}
		}
		q.groups[name] = group
		q.order = append(q.order, name)
	}
	group.Push(item)
}

// Pop implements workqueue.Queue. There must be an item.
func (q *Turns[T]) Pop() (item T) {
	q.length--
	if len(q.groupings) == 0 {
		item, q.items = q.items[0], q.items[1:]
		return item
	}
	name := q.order[0]
	q.order = q.order[1:]
	group := q.groups[name]
	item = group.Pop()
	if group.length > 0 {
		q.order = append(q.order, name)
	} else {
		delete(q.groups, name)
	}
	return item
}
