// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

func testSpec() multiclusterv1alpha1.AuthTokenRequestSpec {
	return multiclusterv1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    multiclusterv1alpha1.ClusterProfileReference{Namespace: "default", Name: "bravelion"},
		ServiceAccountNamespace: "default",
		ServiceAccountName:      "work",
		ClusterRoles:            []multiclusterv1alpha1.ClusterRole{{Name: "view"}, {Name: "edit"}},
	}
}

func testGrant() *v1alpha1.AuthTokenGrant {
	g := New("default", testSpec(), "profile-1", v1alpha1.Requester{Username: "jane"})
	g.UID, g.Generation = "grant-1", 1
	return g
}

func TestName(t *testing.T) {
	cluster := v1alpha1.GrantedClusterProfile{Namespace: "default", Name: "bravelion", UID: "uid-1"}
	account := v1alpha1.GrantedServiceAccount{Namespace: "default", Name: "work"}
	base := Name("default", cluster, account)
	assert.Regexp(t, "^bravelion-work-", base)
	replaced, other, longest := cluster, account, account
	replaced.UID, other.Namespace = "uid-2", "other"
	longest.Namespace, longest.Name = strings.Repeat("n", 63), strings.Repeat("s", 253)
	profile := func(name string, uid types.UID) v1alpha1.GrantedClusterProfile {
		return v1alpha1.GrantedClusterProfile{Name: name, UID: uid}
	}
	seen := sets.New(base)
	for what, name := range map[string]string{
		"another namespace of requests":          Name("team-a", cluster, account),
		"another cluster of the name":            Name("default", replaced, account),
		"an account of the name elsewhere":       Name("default", cluster, other),
		"another border between the two names":   Name("default", profile("bravelion-work", "uid-1"), account),
		"names that differ where they are cut":   Name("default", profile(strings.Repeat("a", 252)+"b", "y"), account),
		"the longest account":                    Name("default", cluster, longest),
		"names that are cut at the same letters": Name("default", profile(strings.Repeat("a", 253), "x"), account),
		"names with dots where they are cut":     Name("default", profile(strings.Repeat("a.", 126)+"b", "x"), account),
	} {
		assert.NotContains(t, seen, name, what)
		seen.Insert(name)
		assert.Empty(t, validation.IsDNS1123Subdomain(name), what)
	}
}

func TestObjects_Names(t *testing.T) {
	const one, other = types.UID("6f1c0d9e-0000-4000-8000-000000000001"), types.UID("6f1c0d9e-0000-4000-8000-000000000002")
	longest := strings.Repeat("r", 190) // a request names no longer one
	seen := sets.New[string]()
	for _, name := range []string{
		BindingName(one, longest), BindingName(other, longest), BindingName(one, longest[1:]), BindingName(one, "system:a:b"),
	} {
		assert.Empty(t, content.IsPathSegmentName(name), name)
		assert.LessOrEqual(t, len(name), validation.DNS1123SubdomainMaxLength, name)
		seen.Insert(name)
	}
	for _, uid := range []types.UID{one, other} {
		assert.Empty(t, validation.IsDNS1123Subdomain(SecretName(uid)))
		seen.Insert(SecretName(uid))
	}
	assert.Len(t, seen, 6, "some share a name")
	assert.Equal(t, "clusterpass:6f1c0d9e-0000-4000-8000-000000000001:view", BindingName(one, "view"), "earlier releases name it so")
}

// Requests for the same are equal, whatever their order.
func TestNew(t *testing.T) {
	spec := testSpec()
	slices.Reverse(spec.ClusterRoles)
	got := New("default", spec, "profile-1", v1alpha1.Requester{Username: "jane"})
	got.UID, got.Generation = "grant-1", 1
	assert.Equal(t, testGrant(), got)
}

func TestObjects(t *testing.T) {
	g := testGrant()
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	g.Spec.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "view"}, {Name: "pods", Rules: rules}}
	g.Spec.Roles = []multiclusterv1alpha1.Role{{Namespace: "ml", Name: "jobs"}, {Namespace: "ml", Name: "own", Rules: rules}}
	want := []v1alpha1.MemberObject{
		{Kind: "ServiceAccount", Namespace: "default", Name: "work"},
		{Kind: "Secret", Namespace: "default", Name: "clusterpass-grant-1"},
		{Kind: "ClusterRoleBinding", Name: "clusterpass:grant-1:view"},
		{Kind: "ClusterRoleBinding", Name: "clusterpass:grant-1:pods"},
		{Kind: "ClusterRole", Name: "clusterpass:grant-1:pods"},
		{Kind: "RoleBinding", Namespace: "ml", Name: "clusterpass:grant-1:jobs"},
		{Kind: "RoleBinding", Namespace: "ml", Name: "clusterpass:grant-1:own"},
		{Kind: "Role", Namespace: "ml", Name: "clusterpass:grant-1:own"},
	}
	assert.Equal(t, want, Objects(g))
	left := v1alpha1.MemberObject{Kind: "ClusterRoleBinding", Name: "clusterpass:grant-1:cluster-admin"}
	g.Status.MemberObjects = []v1alpha1.MemberObject{want[0], left}
	assert.Equal(t, append(want, left), AllObjects(g), "with what an update has left")
}

func TestKeeper_AuditID(t *testing.T) {
	const id = "8c1f7f5e-8e3f-4c0b-9d3c-2f2c8a3b5d11"
	for given, want := range map[string]string{
		id:                     id,
		"":                     "",
		"x\ny":                 "",
		"8c1f7f5e' or '1'='1":  "",
		"urn:uuid:" + id:       id,
		"not-a-uuid-but-short": "",
	} {
		got, annotated := (&Keeper{Grant: testGrant(), AuditID: given}).meta("", "x").Annotations[AnnotationAuditID]
		assert.Equal(t, want, got, given)
		assert.Equal(t, want != "", annotated, given)
	}
}

func labelsOf(managedBy, hub, grant string) map[string]string {
	return map[string]string{LabelManagedBy: managedBy, LabelHubID: hub, LabelGrantUID: grant}
}

func TestKeeper_Owns(t *testing.T) {
	for name, test := range map[string]struct {
		uid    types.UID
		labels map[string]string
		want   bool
	}{
		"its own":                            {"grant-1", (&Keeper{HubID: "hub", Grant: testGrant()}).meta("", "x").Labels, true},
		"no labels":                          {"grant-1", nil, false},
		"another hub's":                      {"grant-1", labelsOf(ManagedBy, "other", "grant-1"), false},
		"another grant's":                    {"grant-1", labelsOf(ManagedBy, "hub", "grant-2"), false},
		"somebody else's":                    {"grant-1", labelsOf("helm", "hub", "grant-1"), false},
		"of no grant, for one not stored":    {"", labelsOf(ManagedBy, "hub", ""), false},
		"without label, for one not stored":  {"", map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "hub"}, false},
		"without label, for one that exists": {"grant-1", map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "hub"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := testGrant()
			g.UID = test.uid
			assert.Equal(t, test.want, (&Keeper{HubID: "hub", Grant: g}).owns(&metav1.ObjectMeta{Labels: test.labels}))
		})
	}
}

func TestSetOf(t *testing.T) {
	owner := []metav1.OwnerReference{{Kind: "ClusterCredentialSet", Name: "fleet", UID: "set-1", Controller: ptr.To(true)}}
	of := func(uid string) map[string]string { return map[string]string{v1alpha1.LabelCredentialSetUID: uid} }
	for name, test := range map[string]struct {
		meta metav1.ObjectMeta
		want types.UID
	}{
		"a grant of a set":                                     {metav1.ObjectMeta{Labels: of("set-1"), OwnerReferences: owner}, "set-1"},
		"one whose owner reference is gone":                    {metav1.ObjectMeta{Labels: of("set-1")}, "set-1"},
		"one whose owner reference is another":                 {metav1.ObjectMeta{Labels: of("set-2"), OwnerReferences: owner}, "set-2"},
		"one from before there was a label":                    {metav1.ObjectMeta{OwnerReferences: owner}, "set-1"},
		"a grant of a user's requests":                         {metav1.ObjectMeta{}, ""},
		"a grant that somebody has given an owner, no manager": {metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{UID: "a"}}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, SetOf(&v1alpha1.AuthTokenGrant{ObjectMeta: test.meta}))
		})
	}
}
