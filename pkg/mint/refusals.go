// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/apiserver/pkg/authentication/user"
)

const (
	// A user can be refused refusalBurst times at once, and refusalsPerSecond times a second after
	// that.
	refusalBurst      = 50
	refusalsPerSecond = 10
	// maxRefusalDelay bounds how long one refusal is delayed.
	maxRefusalDelay = time.Second
	// refusedUsers bounds how many users are remembered, and refusedTTL for how long: a limiter
	// recovers much sooner.
	refusedUsers = 10_000
	refusedTTL   = time.Minute
)

// refusals limits how often a user is refused. A refusal costs the hub at least one review, and a
// client that ignores refusals retries at once. It is safe for concurrent use.
type refusals struct {
	mu       sync.Mutex
	limiters *utilcache.LRUExpireCache
}

func newRefusals() *refusals {
	return &refusals{limiters: utilcache.NewLRUExpireCache(refusedUsers)}
}

// check returns nil, or 429 if so many refusals of u are waiting that another one would be delayed
// by more than maxRefusalDelay.
func (r *refusals) check(u user.Info) error {
	known, _ := r.limiters.Get(u.GetName())
	if limiter, ok := known.(*rate.Limiter); ok && limiter.Tokens() < 1-refusalsPerSecond*maxRefusalDelay.Seconds() {
		return tooManyRefusals(u)
	}
	return nil
}

// wait returns refusal after the delay for u, or at once when ctx ends. It returns 429 if the delay
// would exceed maxRefusalDelay.
func (r *refusals) wait(ctx context.Context, u user.Info, refusal error) error {
	turn := r.limiter(u).Reserve()
	delay := turn.Delay()
	if delay > maxRefusalDelay {
		turn.Cancel()
		return tooManyRefusals(u)
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return refusal
}

// limiter returns the limiter of u.
func (r *refusals) limiter(u user.Info) *rate.Limiter {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, _ := r.limiters.Get(u.GetName())
	limiter, ok := known.(*rate.Limiter)
	if !ok {
		limiter = rate.NewLimiter(refusalsPerSecond, refusalBurst)
	}
	r.limiters.Add(u.GetName(), limiter, refusedTTL)
	return limiter
}

func tooManyRefusals(u user.Info) error {
	return apierrors.NewTooManyRequests(fmt.Sprintf("more than %d requests of user %q are refused each second: wait and retry",
		refusalsPerSecond, u.GetName()), 1)
}
