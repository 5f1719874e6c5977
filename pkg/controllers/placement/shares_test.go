// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/client-go/tools/cache"
)

func TestShares(t *testing.T) {
	s := newShares(4)
	start := time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	now := start
	a, other := cache.NewObjectName("a", "1"), cache.NewObjectName("b", "1")
	work := func(placement cache.ObjectName, takes time.Duration) {
		assert.Zero(t, s.enter(placement, now))
		began := now
		now = now.Add(takes)
		s.leave(placement.Namespace, began, now)
	}
	assert.Zero(t, s.enter(a, now))
	for range 3 {
		assert.Equal(t, maxEvaluation, s.enter(cache.NewObjectName("a", "2"), now), "one at a time, and the same one waits once")
	}
	assert.Equal(t, 2*maxEvaluation, s.enter(cache.NewObjectName("a", "3"), now), "each behind the one before")
	assert.Equal(t, 3*maxEvaluation, s.again(a), "who has not come to an end, too")
	assert.Zero(t, s.enter(other, now), "another namespace does not wait")
	s.leave("a", now, now)
	s.leave("b", now, now)
	s.forget(cache.NewObjectName("a", "2"))
	work(a, 0)
	work(cache.NewObjectName("a", "3"), 0)
	assert.Empty(t, s.waiting, "all have had their turn, or are gone")

	work(a, burst)
	work(a, burst) // A burst is free.
	wait := s.enter(a, now)
	assert.Equal(t, restFactor*burst+maxEvaluation, wait, "what comes after it is not")
	work(other, 0)

	now = now.Add(wait)
	work(a, 0)
	for worked := time.Duration(0); now.Before(start.Add(time.Hour)); {
		if wait := s.enter(a, now); wait > 0 {
			now = now.Add(wait)
			continue
		}
		s.leave("a", now, now.Add(maxEvaluation))
		now, worked = now.Add(maxEvaluation), worked+maxEvaluation
		assert.LessOrEqual(t, worked, now.Sub(start)/(restFactor+1)+2*burst, "a quarter of the time, in the long run")
	}
	now = now.Add(time.Hour)
	work(a, 0)
	assert.Empty(t, s.owed, "who owes nothing is forgotten")
}

func TestShares_ManyNamespaces(t *testing.T) {
	now := time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)
	s := newShares(5)
	for _, namespace := range []string{"a", "b"} {
		assert.Zero(t, s.enter(cache.NewObjectName(namespace, "1"), now))
	}
	assert.Equal(t, maxEvaluation, s.enter(cache.NewObjectName("c", "1"), now),
		"half of the workers are left to placements without expressions")
	s.leave("a", now, now)
	assert.Zero(t, s.enter(cache.NewObjectName("c", "1"), now))
	assert.Zero(t, newShares(1).enter(cache.NewObjectName("a", "1"), now), "a single worker does both")
}
