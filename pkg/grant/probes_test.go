// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestProbes(t *testing.T) {
	resource := func(a authorizationv1.ResourceAttributes) []authorizationv1.SelfSubjectAccessReviewSpec {
		return []authorizationv1.SelfSubjectAccessReviewSpec{{ResourceAttributes: &a}}
	}
	tests := map[string]struct {
		namespace string
		rules     []rbacv1.PolicyRule
		want      []authorizationv1.SelfSubjectAccessReviewSpec
	}{
		"a role without rules allows nothing to wait for": {},
		"cluster-admin is probed by its wildcards": {
			rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}},
			want:  resource(authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}),
		},
		"a Role is probed in its namespace, by the first of everything": {
			namespace: "team-a",
			rules: []rbacv1.PolicyRule{
				{Verbs: []string{"get", "list"}, APIGroups: []string{"", "apps"}, Resources: []string{"pods/log", "pods"}, ResourceNames: []string{"a", "b"}},
				{Verbs: []string{"delete"}, APIGroups: []string{""}, Resources: []string{"pods"}},
			},
			want: resource(authorizationv1.ResourceAttributes{Namespace: "team-a", Verb: "get", Resource: "pods", Subresource: "log", Name: "a"}),
		},
		"a URL is probed as a URL": {
			rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}},
			want:  []authorizationv1.SelfSubjectAccessReviewSpec{{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}}},
		},
		"a rule that allows nothing is passed over": {
			rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"pods"}},
				{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes"}},
			},
			want: resource(authorizationv1.ResourceAttributes{Verb: "get", Resource: "nodes"}),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var p Probes
			p.add(test.namespace, test.rules)
			if diff := cmp.Diff(test.want, p.All()); diff != "" {
				t.Errorf("wrong probes (-want +got):\n%s", diff)
			}
		})
	}
}
