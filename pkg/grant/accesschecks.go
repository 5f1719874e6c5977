// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// addAccessCheck adds a review for one of the rules of a role. namespace is that of a Role, and
// empty for a ClusterRole. A role without rules needs none.
func (e *ensurer) addAccessCheck(namespace string, rules []rbacv1.PolicyRule) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, rule := range rules {
		if spec, ok := accessCheck(namespace, rule); ok {
			e.accessChecks = append(e.accessChecks, spec)
			return
		}
	}
}

// accessCheck returns a review that rule allows. It keeps a wildcard in the rule: RBAC allows "*"
// only to users who hold "*".
func accessCheck(namespace string, rule rbacv1.PolicyRule) (authorizationv1.SelfSubjectAccessReviewSpec, bool) {
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
