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

func TestPowersOf(t *testing.T) {
	const group, resource = "multicluster.x-k8s.io", "clusterprofiles"
	tests := map[string]struct {
		groups, resources, verbs, names []string
		nonResource                     []string
		want                            []string
	}{
		"everything is every verb":                              {groups: []string{"*"}, resources: []string{"*"}, verbs: []string{"*"}, want: []string{"*"}},
		"every verb on the resource is":                         {groups: []string{group}, resources: []string{resource}, verbs: []string{"*"}, want: []string{"*"}},
		"every verb on one cluster is, on that":                 {groups: []string{group}, resources: []string{resource}, verbs: []string{"*"}, names: []string{"bravelion"}, want: []string{"*"}},
		"every verb on the group is":                            {groups: []string{group}, resources: []string{"*"}, verbs: []string{"*"}, want: []string{"*"}},
		"every verb among others on resources among others is":  {groups: []string{"", group}, resources: []string{"pods", resource}, verbs: []string{"get", "*"}, want: []string{"*"}},
		"every verb on the subresource alone is not":            {groups: []string{group}, resources: []string{resource + "/token"}, verbs: []string{"*"}},
		"every verb on all status subresources is not":          {groups: []string{"*"}, resources: []string{"*/status"}, verbs: []string{"*"}},
		"every verb on another group's clusterprofiles is not":  {groups: []string{"example.com"}, resources: []string{resource}, verbs: []string{"*"}},
		"every verb on what begins alike is not":                {groups: []string{group}, resources: []string{"clusterprofiles*"}, verbs: []string{"*"}},
		"every verb on a URL is not":                            {nonResource: []string{"*"}, verbs: []string{"*"}},
		"escalate is":                                           {groups: []string{group}, resources: []string{resource}, verbs: []string{"create", "escalate"}, want: []string{"escalate"}},
		"escalate on everything is":                             {groups: []string{"*"}, resources: []string{"*"}, verbs: []string{"escalate"}, want: []string{"escalate"}},
		"escalate on clusterroles, as in core, is not":          {groups: []string{"rbac.authorization.k8s.io"}, resources: []string{"clusterroles"}, verbs: []string{"escalate", "bind"}},
		"bind of cluster-admin is":                              {groups: []string{group}, resources: []string{resource}, verbs: []string{"bind:cluster-admin"}, want: []string{"bind:cluster-admin"}},
		"bind of view is not":                                   {groups: []string{group}, resources: []string{resource}, verbs: []string{"bind:view", "in:default"}},
		"a pattern of verbs is none, since RBAC knows none":     {groups: []string{group}, resources: []string{resource}, verbs: []string{"bind:*", "bind*"}},
		"all that view, edit and admin have on it is not":       {groups: []string{group}, resources: []string{resource}, verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}},
		"what the garbage collector has on everything is not":   {groups: []string{"*"}, resources: []string{"*"}, verbs: []string{"delete", "get", "list", "patch", "update", "watch"}},
		"both of two powerful verbs are told":                   {groups: []string{group}, resources: []string{resource}, verbs: []string{"bind:cluster-admin", "escalate"}, want: []string{"escalate", "bind:cluster-admin"}},
		"a rule without groups gives nothing, whatever it says": {resources: []string{"*"}, verbs: []string{"*"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range powersOf([]rbacv1.PolicyRule{{
				APIGroups: test.groups, Resources: test.resources, Verbs: test.verbs, ResourceNames: test.names, NonResourceURLs: test.nonResource,
			}}) {
				got = append(got, p.verb)
				assert.Equal(t, test.names, p.names)
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

func group(name string) rbacv1.Subject { return rbacv1.Subject{Kind: rbacv1.GroupKind, Name: name} }

// rbacObjects are a hub's: what every hub has, and some of each kind that should be told.
func rbacObjects() *fake.Clientset {
	everything := rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}
	onBravelion := rbacv1.PolicyRule{APIGroups: []string{"multicluster.x-k8s.io"}, Resources: []string{"clusterprofiles"}, ResourceNames: []string{"bravelion"}, Verbs: []string{"escalate"}}
	harmless := rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}}
	return fake.NewClientset(
		clusterRole("cluster-admin", everything, rbacv1.PolicyRule{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}}),
		clusterRole("reader", harmless),
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "reader"}, Rules: []rbacv1.PolicyRule{onBravelion}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "cluster-admin"}, RoleRef: roleRef("ClusterRole", "cluster-admin"), Subjects: []rbacv1.Subject{group("system:masters")},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "ops"}, RoleRef: roleRef("ClusterRole", "cluster-admin"),
			Subjects: []rbacv1.Subject{group("system:masters"), group("ops"), {Kind: rbacv1.ServiceAccountKind, Namespace: "argocd", Name: "argocd"}},
		},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "all"}, RoleRef: roleRef("ClusterRole", "cluster-admin"), Subjects: []rbacv1.Subject{group("system:serviceaccounts")}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "readers"}, RoleRef: roleRef("ClusterRole", "reader"), Subjects: []rbacv1.Subject{group("readers")}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "dangling"}, RoleRef: roleRef("ClusterRole", "gone"), Subjects: []rbacv1.Subject{group("readers")}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "owners"}, RoleRef: roleRef("ClusterRole", "cluster-admin"), Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: "eve"}},
		},
		// The Role of this name gives something, and the ClusterRole of this name does not.
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "readers"}, RoleRef: roleRef("Role", "reader"), Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "robot"}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "owners"}, RoleRef: roleRef("ClusterRole", "cluster-admin"), Subjects: []rbacv1.Subject{group("elsewhere")},
		},
	)
}

func TestCheckPowers(t *testing.T) {
	e := newExamination(&Clients{Kubernetes: rbacObjects()})
	e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{{ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "bravelion"}}}

	found := examine(t, checkPowers, e)

	for i := range found {
		assert.Regexp(t, `: kubectl (-n fleet )?delete (clusterrole|role)binding \w+$`, found[i].Mend)
		found[i].Mend = ""
	}
	const all = `it holds every verb ("*") on all ClusterProfiles, in `
	assert.Equal(t, findings{
		{Verdict: Warn, About: "Group ops -> ClusterRole cluster-admin -> ClusterRoleBinding ops", Message: all + "all namespaces"},
		{Verdict: Fail, About: "Group system:serviceaccounts -> ClusterRole cluster-admin -> ClusterRoleBinding all", Message: all + "all namespaces, and so does everybody with an account on the hub"},
		{Verdict: Warn, About: "ServiceAccount argocd/argocd -> ClusterRole cluster-admin -> ClusterRoleBinding ops", Message: all + "all namespaces"},
		{Verdict: Warn, About: "ServiceAccount fleet/robot -> Role reader -> RoleBinding fleet/readers", Message: `it holds the verb "escalate" on the ClusterProfiles bravelion, in namespace fleet`},
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
