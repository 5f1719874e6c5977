// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/pkg/hub"
)

// rules returns all rules of what is allowed, with the namespace that each holds in, empty for the
// whole cluster.
func rules(t *testing.T, a *Allowed) map[string][]rbacv1.PolicyRule {
	t.Helper()
	all := map[string][]rbacv1.PolicyRule{}
	for _, o := range a.Objects() {
		if o.GetKind() != roleKind.Kind && o.GetKind() != clusterRoleKind.Kind {
			continue
		}
		role := &rbacv1.ClusterRole{}
		require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, role))
		all[o.GetNamespace()] = append(all[o.GetNamespace()], role.Rules...)
	}
	return all
}

// reaches returns whether a rule gives a verb on a resource.
func reaches(rule *rbacv1.PolicyRule, verb, resource string) bool {
	return slices.Contains(rule.Verbs, verb) && slices.Contains(rule.Resources, resource)
}

func TestAllowed_LeastRights(t *testing.T) {
	all := rules(t, &Allowed{ClusterRoles: []string{"view", "edit"}, Namespaces: []string{"default", "team-a"}})
	assert.Len(t, all, 4, "the cluster, two namespaces, and clusterpass's own")
	for namespace, rules := range all {
		for i := range rules {
			rule := &rules[i]
			assert.NotContains(t, rule.Verbs, "escalate")
			assert.NotContains(t, rule.Verbs, "impersonate")
			assert.NotContains(t, append(append(slices.Clone(rule.Verbs), rule.Resources...), rule.APIGroups...), "*")
			if reaches(rule, "bind", "clusterroles") {
				assert.Equal(t, []string{"edit", "view"}, rule.ResourceNames)
			}
			if slices.Contains(rule.Resources, "secrets") || slices.Contains(rule.Resources, "serviceaccounts/token") {
				assert.NotEmpty(t, namespace, "never in the whole cluster")
				assert.NotContains(t, rule.Verbs, "list")
			}
			if namespace == hub.SystemNamespace {
				assert.NotEmpty(t, rule.ResourceNames, "of its own namespace nothing but its own credential")
			}
		}
	}
}

func TestAllowed_WideOpen(t *testing.T) {
	everyRole := rules(t, &Allowed{AllClusterRoles: true, Namespaces: []string{"default"}})
	assert.True(t, slices.ContainsFunc(everyRole[""], func(r rbacv1.PolicyRule) bool {
		return reaches(&r, "bind", "clusterroles") && len(r.ResourceNames) == 0
	}))
	withRules := rules(t, &Allowed{ClusterRoles: []string{"view"}, Namespaces: []string{"default"}, Rules: true})
	for namespace, resource := range map[string]string{"": "clusterroles", "default": "roles"} {
		escalates := func(r rbacv1.PolicyRule) bool { return reaches(&r, "escalate", resource) }
		assert.True(t, slices.ContainsFunc(withRules[namespace], escalates), namespace)
	}
}
