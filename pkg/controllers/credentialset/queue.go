// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
)

// failingShare is the share of the credentials that have failed: one in so many is theirs, while others wait.
const failingShare = 8

// newCredentialQueue returns the queue of credentials. Those that have failed come after all others, so that sets which can get nothing
// hold up no renewal; and namespaces take turns, and the sets of each.
func newCredentialQueue(
	limiter workqueue.TypedRateLimiter[credentialKey], failing func(credentialKey) bool, clock clock.WithTicker,
) workqueue.TypedRateLimitingInterface[credentialKey] {
	const name = "credential"
	queue := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[credentialKey]{
		Name: name, Clock: clock, Queue: &lanes{failing: failing, first: newTurns(), later: newTurns()},
	})
	return workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[credentialKey]{
		Name: name, Clock: clock,
		DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[credentialKey]{Name: name, Clock: clock, Queue: queue}),
	})
}

// lanes is the order of a queue of credentials. The queue locks it.
type lanes struct {
	// failing says of which the last try has failed.
	failing func(credentialKey) bool
	// first are those that have not failed, later the others.
	first, later *turns[credentialKey]
	popped       int
}

var _ workqueue.Queue[credentialKey] = (*lanes)(nil)

// Touch implements workqueue.Queue.
func (*lanes) Touch(credentialKey) {}

// Push implements workqueue.Queue.
func (l *lanes) Push(key credentialKey) {
	if l.failing(key) {
		l.later.push(key)
	} else {
		l.first.push(key)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return l.first.length + l.later.length }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() credentialKey {
	l.popped++
	if l.first.length == 0 || l.later.length > 0 && l.popped%failingShare == 0 {
		return l.later.pop()
	}
	return l.first.pop()
}

// turns hands out items one group after another, and within a group likewise.
type turns[T any] struct {
	length int
	// groupings are how items are grouped, from the outermost groups on. Where there are none, items are handed out in their order.
	groupings []func(T) string
	items     []T
	groups    map[string]*turns[T]
	// order is that of the groups' turns.
	order []string
}

// newTurns has namespaces take turns, and in each the sets.
func newTurns() *turns[credentialKey] {
	return &turns[credentialKey]{groupings: []func(credentialKey) string{
		func(key credentialKey) string { return key.set.Namespace },
		func(key credentialKey) string { return key.set.Name },
	}}
}

func (t *turns[T]) push(item T) {
	t.length++
	if len(t.groupings) == 0 {
		t.items = append(t.items, item)
		return
	}
	name := t.groupings[0](item)
	group := t.groups[name]
	if group == nil {
		group = &turns[T]{groupings: t.groupings[1:]}
		if t.groups == nil {
			t.groups = map[string]*turns[T]{}
		}
		t.groups[name] = group
		t.order = append(t.order, name)
	}
	group.push(item)
}

// pop returns the next item, of which there has to be one.
func (t *turns[T]) pop() (item T) {
	t.length--
	if len(t.groupings) == 0 {
		item, t.items = t.items[0], t.items[1:]
		return item
	}
	name := t.order[0]
	t.order = t.order[1:]
	group := t.groups[name]
	item = group.pop()
	if group.length > 0 {
		t.order = append(t.order, name)
	} else {
		delete(t.groups, name)
	}
	return item
}
