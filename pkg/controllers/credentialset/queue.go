// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/controllers/internal/loop"
)

// failingShare: while others wait, one in failingShare credentials is one that has failed.
const failingShare = 8

// newCredentialQueue returns the queue of credentials. Credentials that have failed come after all
// others: sets that cannot get a token must not delay renewals. Namespaces take turns, and so do
// the sets of each namespace.
func newCredentialQueue(
	limiter workqueue.TypedRateLimiter[credentialKey], failing func(credentialKey) bool, clock clock.WithTicker,
) workqueue.TypedRateLimitingInterface[credentialKey] {
	return loop.NewOrderedQueue("credential", clock, limiter, &lanes{failing: failing, first: newTurns(), later: newTurns()})
}

// lanes is the order of a queue of credentials. The queue locks it.
type lanes struct {
	// failing returns whether the last attempt for a credential failed.
	failing func(credentialKey) bool
	// first has credentials that have not failed. later has the others.
	first, later *loop.Turns[credentialKey]
	popped       int
}

var _ workqueue.Queue[credentialKey] = (*lanes)(nil)

// Touch implements workqueue.Queue.
func (*lanes) Touch(credentialKey) {}

// Push implements workqueue.Queue.
func (l *lanes) Push(key credentialKey) {
	if l.failing(key) {
		l.later.Push(key)
	} else {
		l.first.Push(key)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return l.first.Len() + l.later.Len() }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() credentialKey {
	l.popped++
	if l.first.Len() == 0 || l.later.Len() > 0 && l.popped%failingShare == 0 {
		return l.later.Pop()
	}
	return l.first.Pop()
}

// newTurns returns a queue in which namespaces take turns, and the sets within each namespace.
func newTurns() *loop.Turns[credentialKey] {
	return loop.NewTurns(
		func(key credentialKey) string { return key.set.Namespace },
		func(key credentialKey) string { return key.set.Name },
	)
}
