// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
)

const (
	// maxEvaluation bounds how long expressions are evaluated without a break.
	maxEvaluation = 20 * time.Millisecond
	// burst is how long the expressions of a namespace may be evaluated before it has to wait. It
	// then waits restFactor times as long as they took: all placements of a namespace together take
	// at most a quarter of one CPU.
	burst      = time.Second
	restFactor = 3
	// maxPause bounds how long a placement waits for others of its namespace. The fleet keeps the
	// log of changes for longer.
	maxPause = 10 * time.Second
)

// shares divides the time for CEL expressions, for compilation and evaluation, between namespaces.
// The placements of one namespace cannot delay those of others. Use newShares.
type shares struct {
	mu sync.Mutex
	// busy are the namespaces whose expressions are being compiled or evaluated. maxBusy bounds their
	// number.
	busy    sets.Set[string]
	maxBusy int
	// owed is until when each namespace would have to wait if there were no burst.
	owed map[string]time.Time
	// waiting are the waiting placements of each namespace, by name.
	waiting map[string]sets.Set[string]
}

// newShares returns shares for a number of workers. Half of the workers never compile or evaluate
// expressions. They are reserved for placements without expressions.
func newShares(workers int) *shares {
	return &shares{busy: sets.New[string](), maxBusy: max(1, workers/2), owed: map[string]time.Time{}, waiting: map[string]sets.Set[string]{}}
}

// enter returns zero if the expressions of a placement may be compiled or evaluated now. The caller
// must then call leave. Only one placement of a namespace may do so at a time. Otherwise, enter
// returns how long to wait, which grows with the number of waiting placements.
func (s *shares) enter(placement cache.ObjectName, now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	debt := max(0, s.owed[placement.Namespace].Add(-restFactor*burst).Sub(now))
	if debt > 0 || s.busy.Has(placement.Namespace) || s.busy.Len() >= s.maxBusy {
		return debt + s.line(placement)
	}
	s.quit(placement)
	s.busy.Insert(placement.Namespace)
	return 0
}

// again returns how long a placement with an unfinished pass has to wait, after those that are
// waiting.
func (s *shares) again(placement cache.ObjectName) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.line(placement)
}

// forget removes a placement from the waiting ones.
func (s *shares) forget(placement cache.ObjectName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.quit(placement)
}

// line adds a placement to the waiting ones. It returns how long all waiting placements of its
// namespace take.
func (s *shares) line(placement cache.ObjectName) time.Duration {
	waiting := s.waiting[placement.Namespace]
	if waiting == nil {
		waiting = sets.New[string]()
		s.waiting[placement.Namespace] = waiting
	}
	waiting.Insert(placement.Name)
	return min(time.Duration(waiting.Len())*maxEvaluation, maxPause)
}

func (s *shares) quit(placement cache.ObjectName) {
	waiting := s.waiting[placement.Namespace]
	if waiting.Delete(placement.Name); waiting.Len() == 0 {
		delete(s.waiting, placement.Namespace)
	}
}

// leave records that expressions of the namespace were evaluated from began until now.
func (s *shares) leave(namespace string, began, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy.Delete(namespace)
	owed := s.owed[namespace]
	if owed.Before(began) {
		owed = began
	}
	s.owed[namespace] = owed.Add((restFactor + 1) * now.Sub(began))
	for other, until := range s.owed {
		if !until.After(now) {
			delete(s.owed, other)
		}
	}
}
