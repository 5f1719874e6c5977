// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// New rights wait only for tokens that may be out.
func TestFence_Wait(t *testing.T) {
	now := time.Now()
	tests := map[string]struct {
		change func(g *v1alpha1.AuthTokenGrant)
		waits  bool
	}{
		"a grant as it was made":                 {func(*v1alpha1.AuthTokenGrant) {}, false},
		"one that has been changed":              {func(g *v1alpha1.AuthTokenGrant) { g.Generation = 2 }, true},
		"one whose change the member has":        {func(g *v1alpha1.AuthTokenGrant) { g.Generation, g.Status.ObservedGeneration = 2, 2 }, false},
		"one that was changed without any token": {func(g *v1alpha1.AuthTokenGrant) { g.Generation, g.Status.ExpirationCeiling = 2, nil }, false},
		"one that was changed long after the last": {func(g *v1alpha1.AuthTokenGrant) {
			g.Generation, g.Status.ExpirationCeiling = 2, &metav1.Time{Time: now.Add(-time.Minute)}
		}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := testGrant()
			g.Status.ExpirationCeiling, g.Status.ObservedGeneration = &metav1.Time{Time: now.Add(time.Hour)}, 1
			test.change(g)
			clock := testingclock.NewFakeClock(now)
			f := newFence(clock, g)
			f.secretSeen()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			err := f.wait(ctx)
			assert.Equal(t, test.waits, errors.Is(err, context.Canceled), "%v", err)
			clock.Step(TokenCacheTTL)
			assert.NoError(t, f.wait(t.Context()), "after %s", TokenCacheTTL)
		})
	}
}

func TestEnsurer_AddAccessCheck(t *testing.T) {
	type attributes = authorizationv1.ResourceAttributes
	resource := func(a attributes) []authorizationv1.SelfSubjectAccessReviewSpec {
		return []authorizationv1.SelfSubjectAccessReviewSpec{{ResourceAttributes: &a}}
	}
	tests := map[string]struct {
		namespace string
		rules     []rbacv1.PolicyRule
		want      []authorizationv1.SelfSubjectAccessReviewSpec
	}{
		"a role without rules allows nothing to wait for": {},
		"cluster-admin is checked by its wildcards": {
			rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}},
			want:  resource(attributes{Verb: "*", Group: "*", Resource: "*"}),
		},
		"a Role is checked in its namespace, by the first of everything": {
			namespace: "team-a",
			rules: []rbacv1.PolicyRule{
				{
					Verbs: []string{"get", "list"}, APIGroups: []string{"", "apps"},
					Resources: []string{"pods/log", "pods"}, ResourceNames: []string{"a", "b"},
				},
				{Verbs: []string{"delete"}, APIGroups: []string{""}, Resources: []string{"pods"}},
			},
			want: resource(attributes{Namespace: "team-a", Verb: "get", Resource: "pods", Subresource: "log", Name: "a"}),
		},
		"a URL is checked as a URL": {
			rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}},
			want: []authorizationv1.SelfSubjectAccessReviewSpec{
				{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}},
			},
		},
		"a rule that allows nothing is passed over": {
			rules: []rbacv1.PolicyRule{
				{APIGroups: []string{""}, Resources: []string{"pods"}}, {Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes"}},
			},
			want: resource(attributes{Verb: "get", Resource: "nodes"}),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var e ensurer
			e.addAccessCheck(test.namespace, test.rules)
			assert.Equal(t, test.want, e.accessChecks)
		})
	}
}
