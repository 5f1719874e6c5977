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

// maxReviewsOfUser bounds the access reviews of one user that are in flight at the same time.
const maxReviewsOfUser = 4

// fairAuthorizer limits the concurrent access reviews of one user. All reviews use one client of
// the hub, which has a rate limit. Without fairAuthorizer, a user who sends many requests for
// different rights could delay the requests of others.
type fairAuthorizer struct {
	authorizer.Authorizer
	// always allows the paths of probes, without a review.
	always authorizer.UnconditionalAuthorizer
	mu     sync.Mutex
	users  map[string]*userReviews
}

// userReviews has the slots for the reviews of one user.
type userReviews struct {
	slots *semaphore.Weighted
	// pending is the number of reviews in flight and waiting.
	pending int
}

// newFairAuthorizer returns an authorizer that calls a, except for alwaysAllowPaths. It returns an
// error if one of these is not a valid path.
func newFairAuthorizer(a authorizer.Authorizer, alwaysAllowPaths []string) (*fairAuthorizer, error) {
	always, err := path.NewAuthorizer(alwaysAllowPaths)
	if err != nil {
		return nil, err
	}
	return &fairAuthorizer{Authorizer: a, always: always, users: map[string]*userReviews{}}, nil
}

// Authorize implements authorizer.Authorizer. It waits while the maximum number of reviews of the
// user is in flight.
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
func (a *fairAuthorizer) ConditionsAwareAuthorize(
	ctx context.Context, attributes authorizer.Attributes,
) authorizer.ConditionsAwareDecision {
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

// enter waits for a slot of the user. The caller must call leave.
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
