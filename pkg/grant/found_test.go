// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/fakemember"
)

// ensured returns a grant of every kind of role, a member that has all of it, and the client for
// that.
func ensured(t *testing.T) (*v1alpha1.AuthTokenGrant, *fakemember.Member, kubernetes.Interface) {
	t.Helper()
	g := fakemember.NewGrant("work")
	member := fakemember.New(t, clock.RealClock{}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ml"}})
	member.Ensure(t, "hub", g)
	client, err := member.For(t.Context(), member.Profile())
	require.NoError(t, err)
	return g, member, client.Kubernetes()
}

// allKinds are those of what ensured has on the member, in the order of removal.
var allKinds = []string{"ClusterRoleBinding", "ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role", "ServiceAccount"}

// list returns what a member has of the grants of a hub.
func list(t *testing.T, client kubernetes.Interface, hubID string) *grant.Found {
	t.Helper()
	found, err := grant.List(t.Context(), client, hubID)
	require.NoError(t, err)
	return found
}

func kinds(found *grant.Found) (all []string) {
	for _, o := range found.Objects() {
		all = append(all, o.Kind)
	}
	return all
}

func resourceOf(resource string) schema.GroupVersionResource {
	if resource == "serviceaccounts" {
		return corev1.SchemeGroupVersion.WithResource(resource)
	}
	return rbacv1.SchemeGroupVersion.WithResource(resource)
}

// deleting returns a function that has somebody delete an object on a member.
func deleting(resource, namespace, name string) func(*testing.T, *fakemember.Member) {
	return func(t *testing.T, member *fakemember.Member) {
		t.Helper()
		require.NoError(t, member.Tracker().Delete(resourceOf(resource), namespace, name))
	}
}

// changing returns a function that has somebody change an object on a member.
func changing[T runtime.Object](resource, namespace, name string, change func(T)) func(*testing.T, *fakemember.Member) {
	return func(t *testing.T, member *fakemember.Member) {
		t.Helper()
		found, err := member.Tracker().Get(resourceOf(resource), namespace, name)
		require.NoError(t, err)
		changed := found.DeepCopyObject().(T)
		change(changed)
		require.NoError(t, member.Tracker().Update(resourceOf(resource), changed, namespace))
	}
}

// Drift is found, and told in words.
func TestFound_Drift(t *testing.T) {
	const pods = "clusterpass:grant-work:pods"
	tests := map[string]struct {
		change func(t *testing.T, member *fakemember.Member)
		// kind is what has drifted, and words are of that; empty: nothing has.
		kind, words string
	}{
		"nothing is changed":            {func(*testing.T, *fakemember.Member) {}, "", ""},
		"the ServiceAccount is deleted": {deleting("serviceaccounts", "default", "work"), "ServiceAccount", "work was missing"},
		"the ServiceAccount belongs to another grant": {
			changing("serviceaccounts", "default", "work", func(account *corev1.ServiceAccount) { account.Labels[grant.LabelGrantUID] = "grant-2" }),
			"ServiceAccount", "work was another grant's",
		},
		"a binding has one more subject": {
			changing("clusterrolebindings", "", "clusterpass:grant-work:view", func(b *rbacv1.ClusterRoleBinding) {
				b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, Name: "mallory"})
			}),
			"ClusterRoleBinding", "clusterpass:grant-work:view was changed",
		},
		"a binding refers to another role": {
			changing("rolebindings", "ml", pods, func(b *rbacv1.RoleBinding) { b.RoleRef.Kind = "ClusterRole" }),
			"RoleBinding", pods + " was changed",
		},
		"a role aggregates others": {
			changing("clusterroles", "", pods, func(r *rbacv1.ClusterRole) { r.AggregationRule = &rbacv1.AggregationRule{} }),
			"ClusterRole", pods + " was changed",
		},
		"a role is gone": {deleting("roles", "ml", pods), "Role", pods + " was missing"},
		"the role that a grant binds as existing is no business of ours": {deleting("clusterroles", "", "view"), "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, member, client := ensured(t)
			test.change(t, member)
			want := map[string]string{}
			if test.kind != "" {
				want[test.kind] = test.kind + " " + test.words
			}
			assert.Equal(t, want, list(t, client, "hub").Drift(g))
		})
	}
}

// A kind that may not be listed is taken to be right.
func TestList_ForbiddenKind(t *testing.T) {
	g, member, client := ensured(t)
	member.PrependReactor("list", "serviceaccounts", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("serviceaccounts"), "", nil)
	})
	found := list(t, client, "hub")
	assert.Empty(t, found.Drift(g))
	assert.Error(t, found.Unread(), "it says which kind was not read")
}

// Only this hub's objects are found, in the order of removal.
func TestFound_Objects(t *testing.T) {
	_, _, client := ensured(t)
	assert.Equal(t, allKinds, kinds(list(t, client, "hub")))
	assert.Empty(t, list(t, client, "another-hub").Objects(), "another hub finds nothing")
}

// What is kept of a member is bounded.
func TestList_IsBounded(t *testing.T) {
	large := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "large", Annotations: map[string]string{"a": strings.Repeat("a", 1<<20)}}}
	large.Labels = map[string]string{grant.LabelHubID: "hub", grant.LabelManagedBy: grant.ManagedBy}
	_, member, client := ensured(t)
	var pages atomic.Int32
	member.PrependReactor("list", "clusterroles", func(clienttesting.Action) (bool, runtime.Object, error) {
		pages.Add(1)
		return true, &rbacv1.ClusterRoleList{ListMeta: metav1.ListMeta{Continue: "more"}, Items: []rbacv1.ClusterRole{large}}, nil
	})
	_, err := grant.List(t.Context(), client, "hub")
	assert.ErrorContains(t, err, "listing what grants own, ClusterRole: its clusterroles: more than 134217728 bytes")
	assert.LessOrEqual(t, pages.Load(), int32(200), "pages were asked for")
}
