// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/member"
)

const (
	// settleTimeout bounds the wait for the member's authoriser, which follows
	// its API within milliseconds.
	settleTimeout = 2 * time.Second
	settlePoll    = 10 * time.Millisecond
)

// probes are things that a new token will be allowed to do, one for each role, once
// the member's authoriser has seen the bindings.
type probes struct {
	mu  sync.Mutex
	all []authorizationv1.SelfSubjectAccessReviewSpec
}

// add notes one thing that the rules of a role allow; namespace is the Role's, and
// empty for a ClusterRole. A role without rules allows nothing to wait for.
func (p *probes) add(namespace string, rules []rbacv1.PolicyRule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, rule := range rules {
		if spec, ok := probe(namespace, rule); ok {
			p.all = append(p.all, spec)
			return
		}
	}
}

// probe returns a review that rule allows. A wildcard in the rule stands in the
// review as it is: RBAC allows "*" only to who holds "*".
func probe(namespace string, rule rbacv1.PolicyRule) (authorizationv1.SelfSubjectAccessReviewSpec, bool) {
	first := func(all []string) string {
		if len(all) == 0 {
			return ""
		}
		return all[0]
	}
	switch {
	case len(rule.Verbs) == 0:
		return authorizationv1.SelfSubjectAccessReviewSpec{}, false
	case len(rule.Resources) > 0 && len(rule.APIGroups) > 0:
		resource, subresource, _ := strings.Cut(rule.Resources[0], "/")
		return authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0],
			Resource: resource, Subresource: subresource, Name: first(rule.ResourceNames),
		}}, true
	case len(rule.NonResourceURLs) > 0:
		return authorizationv1.SelfSubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{
			Verb: rule.Verbs[0], Path: rule.NonResourceURLs[0],
		}}, true
	}
	return authorizationv1.SelfSubjectAccessReviewSpec{}, false
}

// settle waits until the member's authoriser lets a new token do what it is for, so
// that its first use is not refused. It gives up after settleTimeout: the token is
// good, and a member whose other authorisers veto what RBAC allows must not fail it.
//
// A token for other audiences can't be tried: the member itself does not accept it.
func (m *Minter) settle(ctx context.Context, c *member.Client, e *entitlement, token *issuedToken, p *probes) {
	if len(e.audiences) > 0 {
		return
	}
	defer observePhase(phaseSettle, m.Clock, m.Clock.Now())
	reviews := c.WithToken(token.token).AuthorizationV1().SelfSubjectAccessReviews()
	waiting := slices.Clone(p.all)
	err := wait.PollUntilContextTimeout(ctx, settlePoll, settleTimeout, true, func(ctx context.Context) (bool, error) {
		for len(waiting) > 0 {
			review := &authorizationv1.SelfSubjectAccessReview{Spec: waiting[0]}
			answer, err := reviews.Create(ctx, review, metav1.CreateOptions{})
			if err != nil || !answer.Status.Allowed {
				return false, nil //nolint:nilerr // tried again: the token is as new as its bindings
			}
			waiting = waiting[1:]
		}
		return true, nil
	})
	if err != nil {
		klog.FromContext(ctx).Info("The member's authoriser does not yet allow what a new token is for", "cluster", c.Name(), "waiting", len(waiting))
	}
}
