// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
)

const (
	// usableTimeout bounds the wait for the member's authoriser, which usually learns of new
	// bindings within milliseconds.
	usableTimeout = 2 * time.Second
	usablePoll    = 10 * time.Millisecond
)

// waitUsable waits until the member's authoriser allows a new token to use its roles: otherwise its
// first use might be refused. It gives up after usableTimeout, because the token is valid, and
// other authorisers of the member may veto what RBAC allows.
//
// It does not test a token for other audiences, which the member's own API does not accept.
func (t *task) waitUsable(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, token *issuedToken, waiting []authorizationv1.SelfSubjectAccessReviewSpec) {
	if len(g.Spec.Audiences) > 0 {
		return
	}
	var err error
	defer observePhase(phaseSettle, t.Clock, t.Clock.Now(), &err)
	reviews := t.client.WithToken(token.token).AuthorizationV1().SelfSubjectAccessReviews()
	err = wait.PollUntilContextTimeout(ctx, usablePoll, usableTimeout, true, func(ctx context.Context) (bool, error) {
		for len(waiting) > 0 {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: waiting[0]}
			answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
			if err != nil || !answer.Status.Allowed {
				return false, nil //nolint:nilerr // retried: the token is as new as its bindings
			}
			waiting = waiting[1:]
		}
		return true, nil
	})
	if err != nil {
		klog.FromContext(ctx).Info("The member's authoriser does not yet allow what a new token is for", "cluster", t.client.Name(), "waiting", len(waiting))
	}
}
