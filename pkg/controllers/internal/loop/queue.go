// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// NewQueue returns the work queue of the controller with that name. Items that fail are tried again after a time between least and most.
func NewQueue[T comparable](name string, clock clock.WithTicker, least, most time.Duration) workqueue.TypedRateLimitingInterface[T] {
	return workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.NewTypedItemExponentialFailureRateLimiter[T](least, most),
		workqueue.TypedRateLimitingQueueConfig[T]{Name: name, Clock: clock})
}

// NewOrderedQueue returns a work queue whose items come in the order of another than the first that came.
func NewOrderedQueue[T comparable](
	name string, clock clock.WithTicker, limiter workqueue.TypedRateLimiter[T], order workqueue.Queue[T],
) workqueue.TypedRateLimitingInterface[T] {
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[T]{Name: name, Clock: clock, Queue: order})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[T]{
		Name: name, Clock: clock,
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[T]{Name: name, Clock: clock, Queue: queue}),
	})
}

// Turns is an order of a work queue in which groups of items take turns, and within a group likewise: the many items of one tenant hold up
// nobody else's. The work queue locks it. It is made by NewTurns.
type Turns[T comparable] struct {
	length int
	// groupings are how items are grouped, from the outermost groups on. Where there are none, items come in the order of Push.
	groupings []func(T) string
	items     []T
	groups    map[string]*Turns[T]
	// order is that of the groups' turns.
	order []string
}

var _ workqueue.Queue[string] = (*Turns[string])(nil)

// NewTurns returns an order without items. The groupings return the name of an item's group, those of the outermost groups first.
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

// Pop implements workqueue.Queue: there has to be an item.
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
