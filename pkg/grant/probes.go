// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Probes are things that a token of a grant is allowed to do, one for each role, once
// the member's authoriser has seen the bindings.
type Probes struct {
	mu  sync.Mutex
	all []authorizationv1.SelfSubjectAccessReviewSpec
}

// All returns the probes.
func (p *Probes) All() []authorizationv1.SelfSubjectAccessReviewSpec {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// add notes one thing that the rules of a role allow; namespace is the Role's, and
// empty for a ClusterRole. A role without rules allows nothing to wait for.
func (p *Probes) add(namespace string, rules []rbacv1.PolicyRule) {
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
