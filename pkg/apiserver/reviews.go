// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/path"
)

// maxReviewsOfUser bounds the reviews of one user that are under way at once.
const maxReviewsOfUser = 4

// fairAuthorizer bounds what is asked about one user at once. All reviews go through one client of the hub, whose rate is bounded: who
// sends many requests, each with rights that nobody has asked for before, must not have the requests of others wait behind them.
type fairAuthorizer struct {
	authorizer.Authorizer
	// always allows the paths of probes, which nobody waits for.
	always authorizer.UnconditionalAuthorizer
	mu     sync.Mutex
	users  map[string]*userReviews
}

// userReviews are those of one user.
type userReviews struct {
	slots *semaphore.Weighted
	// pending counts those that are under way or wait.
	pending int
}

// newFairAuthorizer returns an authorizer that asks a, but for paths that everybody may see. It returns an error where one is none.
func newFairAuthorizer(a authorizer.Authorizer, alwaysAllowPaths []string) (*fairAuthorizer, error) {
	always, err := path.NewAuthorizer(alwaysAllowPaths)
	if err != nil {
		return nil, err
	}
	return &fairAuthorizer{Authorizer: a, always: always, users: map[string]*userReviews{}}, nil
}

// Authorize implements authorizer.Authorizer. It waits while as many reviews of the user are under way as may be.
func (a *fairAuthorizer) Authorize(ctx context.Context, attributes authorizer.Attributes) (authorizer.Decision, string, error) {
	if decision, reason, err := a.always.Authorize(ctx, attributes); decision == authorizer.DecisionAllow {
		return decision, reason, err
	}
	leave, err := a.enter(ctx, attributes)
	if err != nil {
		return authorizer.DecisionNoOpinion, "", err
	}
	defer leave()
	return a.Authorizer.Authorize(ctx, attributes)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. It waits as Authorize does.
func (a *fairAuthorizer) ConditionsAwareAuthorize(ctx context.Context, attributes authorizer.Attributes) authorizer.ConditionsAwareDecision {
	if decision, reason, err := a.always.Authorize(ctx, attributes); decision == authorizer.DecisionAllow {
		return authorizer.ConditionsAwareDecisionFromParts(decision, reason, err)
	}
	leave, err := a.enter(ctx, attributes)
	if err != nil {
		return authorizer.ConditionsAwareDecisionFromParts(authorizer.DecisionNoOpinion, "", err)
	}
	defer leave()
	return a.Authorizer.ConditionsAwareAuthorize(ctx, attributes)
}

// enter waits for a slot of the user, which the caller leaves.
func (a *fairAuthorizer) enter(ctx context.Context, attributes authorizer.Attributes) (leave func(), err error) {
	name := ""
	if user := attributes.GetUser(); user != nil {
		name = user.GetName()
	}
	reviews := a.begin(name)
	if err := reviews.slots.Acquire(ctx, 1); err != nil {
		a.end(name, reviews)
		return nil, fmt.Errorf("waiting for other reviews of this user: %w", err)
	}
	return func() {
		reviews.slots.Release(1)
		a.end(name, reviews)
	}, nil
}

func (a *fairAuthorizer) begin(user string) *userReviews {
	a.mu.Lock()
	defer a.mu.Unlock()
	reviews := a.users[user]
	if reviews == nil {
		reviews = &userReviews{slots: semaphore.NewWeighted(maxReviewsOfUser)}
		a.users[user] = reviews
	}
	reviews.pending++
	return reviews
}

func (a *fairAuthorizer) end(user string, reviews *userReviews) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if reviews.pending--; reviews.pending == 0 {
		delete(a.users, user)
	}
}
