// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package turns orders what waits in the work queues of controllers, so that the many items of one tenant hold up nobody else's.
package turns

import (
	"k8s.io/client-go/util/workqueue"
)

// Queue is the order of a work queue: groups of items take turns, and within a group likewise. The work queue locks it. It is made by New.
type Queue[T comparable] struct {
	length int
	// groupings are how items are grouped, from the outermost groups on. Where there are none, items come in the order of Push.
	groupings []func(T) string
	items     []T
	groups    map[string]*Queue[T]
	// order is that of the groups' turns.
	order []string
}

var _ workqueue.Queue[string] = (*Queue[string])(nil)

// New returns an empty queue. The groupings return the name of an item's group, those of the outermost groups first.
func New[T comparable](groupings ...func(T) string) *Queue[T] {
	return &Queue[T]{groupings: groupings}
}

// Touch implements workqueue.Queue.
func (*Queue[T]) Touch(T) {}

// Len implements workqueue.Queue.
func (q *Queue[T]) Len() int { return q.length }

// Push implements workqueue.Queue.
func (q *Queue[T]) Push(item T) {
	q.length++
	if len(q.groupings) == 0 {
		q.items = append(q.items, item)
		return
	}
	name := q.groupings[0](item)
	group := q.groups[name]
	if group == nil {
		group = New(q.groupings[1:]...)
		if q.groups == nil {
			q.groups = map[string]*Queue[T]{}
		}
		q.groups[name] = group
		q.order = append(q.order, name)
	}
	group.Push(item)
}

// Pop implements workqueue.Queue: there has to be an item.
func (q *Queue[T]) Pop() (item T) {
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
