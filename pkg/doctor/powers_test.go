// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// rule returns one about a resource of a group.
func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// onProfiles returns a rule about ClusterProfiles.
func onProfiles(verbs ...string) rbacv1.PolicyRule {
	return rule("multicluster.x-k8s.io", "clusterprofiles", verbs...)
}

// onBravelion returns a rule about the ClusterProfiles of that name.
func onBravelion(verb string) rbacv1.PolicyRule {
	one := onProfiles(verb)
	one.ResourceNames = []string{"bravelion"}
	return one
}

func TestPowersOf(t *testing.T) {
	const group, resource = "multicluster.x-k8s.io", "clusterprofiles"
	const bindAdmin = "bind:cluster-admin"
	type list = []string
	for name, test := range map[string]struct {
		rule rbacv1.PolicyRule
		want list
	}{
		"everything is every verb":              {rule("*", "*", "*"), list{"*"}},
		"every verb on the resource is":         {onProfiles("*"), list{"*"}},
		"every verb on one cluster is, on that": {onBravelion("*"), list{"*"}},
		"every verb on the group is":            {rule(group, "*", "*"), list{"*"}},
		"every verb among others on resources among others is": {
			rbacv1.PolicyRule{APIGroups: list{"", group}, Resources: list{"pods", resource}, Verbs: list{"get", "*"}}, list{"*"},
		},
		"every verb on the subresource alone is not":           {rule(group, resource+"/token", "*"), nil},
		"every verb on all status subresources is not":         {rule("*", "*/status", "*"), nil},
		"every verb on another group's clusterprofiles is not": {rule("example.com", resource, "*"), nil},
		"every verb on what begins alike is not":               {rule(group, "clusterprofiles*", "*"), nil},
		"every verb on a URL is not":                           {rbacv1.PolicyRule{NonResourceURLs: list{"*"}, Verbs: list{"*"}}, nil},
		"escalate is":                                          {onProfiles("create", "escalate"), list{"escalate"}},
		"escalate on everything is":                            {rule("*", "*", "escalate"), list{"escalate"}},
		"escalate on clusterroles, as in core, is not":         {rule("rbac.authorization.k8s.io", "clusterroles", "escalate", "bind"), nil},
		"bind of cluster-admin is":                             {onProfiles(bindAdmin), list{bindAdmin}},
		"bind of view is not":                                  {onProfiles("bind:view", "in:default"), nil},
		"a pattern of verbs is none, since RBAC knows none":    {onProfiles("bind:*", "bind*"), nil},
		"all that view, edit and admin have on it is not": {
			onProfiles("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"), nil,
		},
		"what the garbage collector has on everything is not":   {rule("*", "*", "delete", "get", "list", "patch", "update", "watch"), nil},
		"both of two powerful verbs are reported":               {onProfiles(bindAdmin, "escalate"), list{"escalate", bindAdmin}},
		"a rule without groups gives nothing, whatever it says": {rbacv1.PolicyRule{Resources: list{"*"}, Verbs: list{"*"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got list
			for _, p := range powersOf([]rbacv1.PolicyRule{test.rule}) {
				got = append(got, p.verb)
				assert.Equal(t, test.rule.ResourceNames, p.names)
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
}

func roleRef(kind, name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
}

func clusterRoleBinding(name, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: named("", name), RoleRef: roleRef("ClusterRole", role), Subjects: subjects}
}

func roleBinding(namespace, name string, role rbacv1.RoleRef, subject rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: named(namespace, name), RoleRef: role, Subjects: []rbacv1.Subject{subject}}
}

func group(name string) rbacv1.Subject { return rbacv1.Subject{Kind: rbacv1.GroupKind, Name: name} }

// rbacObjects are a hub's: what every hub has, and some of each kind that should be told.
func rbacObjects() *fake.Clientset {
	admin := roleRef("ClusterRole", "cluster-admin")
	return fake.NewClientset(
		clusterRole(admin.Name, rule("*", "*", "*"), rbacv1.PolicyRule{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}}),
		clusterRole("reader", rule("*", "*", "get", "list", "watch")),
		&rbacv1.Role{ObjectMeta: named("fleet", "reader"), Rules: []rbacv1.PolicyRule{onBravelion("escalate")}},
		clusterRoleBinding("cluster-admin", admin.Name, group("system:masters")),
		clusterRoleBinding("ops", admin.Name, group("system:masters"), group("ops"),
			rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "argocd", Name: "argocd"}),
		clusterRoleBinding("all", admin.Name, group("system:serviceaccounts")),
		clusterRoleBinding("readers", "reader", group("readers")),
		clusterRoleBinding("dangling", "gone", group("readers")),
		roleBinding("fleet", "owners", admin, rbacv1.Subject{Kind: rbacv1.UserKind, Name: "eve"}),
		// The Role of this name gives something, and the ClusterRole of this name does not.
		roleBinding("fleet", "readers", roleRef("Role", "reader"), rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "robot"}),
		roleBinding("elsewhere", "owners", admin, group("elsewhere")),
	)
}

func TestCheckPowers(t *testing.T) {
	e := newExamination(&Clients{Kubernetes: rbacObjects()})
	e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{{ObjectMeta: named("fleet", "bravelion")}}

	found := examine(t, checkPowers, e)

	for i := range found {
		assert.Regexp(t, `: kubectl (-n fleet )?delete (clusterrole|role)binding \w+$`, found[i].Mend)
		found[i].Mend = ""
	}
	const all = `it holds every verb ("*") on all ClusterProfiles, in `
	assert.Equal(t, findings{
		{Verdict: Warn, About: "Group ops -> ClusterRole cluster-admin -> ClusterRoleBinding ops", Message: all + "all namespaces"},
		{Verdict: Fail, About: "Group system:serviceaccounts -> ClusterRole cluster-admin -> ClusterRoleBinding all",
			Message: all + "all namespaces, and so does everybody with an account on the hub"},
		{Verdict: Warn, About: "ServiceAccount argocd/argocd -> ClusterRole cluster-admin -> ClusterRoleBinding ops",
			Message: all + "all namespaces"},
		{Verdict: Warn, About: "ServiceAccount fleet/robot -> Role reader -> RoleBinding fleet/readers",
			Message: `it holds the verb "escalate" on the ClusterProfiles bravelion, in namespace fleet`},
		{Verdict: Warn, About: "User eve -> ClusterRole cluster-admin -> RoleBinding fleet/owners", Message: all + "namespace fleet"},
	}, found)
}

// Bindings in namespaces of which nothing is known count.
func TestCheckPowers_UnknownNamespaces(t *testing.T) {
	e := newExamination(&Clients{Kubernetes: rbacObjects()})
	e.hub.profiles.err = assert.AnError
	assert.True(t, slices.ContainsFunc(examine(t, checkPowers, e), func(f Finding) bool {
		return f.About == "Group elsewhere -> ClusterRole cluster-admin -> RoleBinding elsewhere/owners"
	}))
}

func TestCheckPowers_None(t *testing.T) {
	e := newExamination(&Clients{Kubernetes: fake.NewClientset(clusterRole("reader"))})
	assert.Equal(t, OK, Worst(examine(t, checkPowers, e)))
}
