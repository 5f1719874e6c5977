// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"context"
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

// Drift is found, and told in words.
func TestFound_Drift(t *testing.T) {
	tests := map[string]struct {
		change func(ctx context.Context, member kubernetes.Interface) error
		want   map[string]string
	}{
		"nothing is changed": {
			func(context.Context, kubernetes.Interface) error { return nil },
			map[string]string{},
		},
		"the ServiceAccount is deleted": {
			func(ctx context.Context, member kubernetes.Interface) error {
				return member.CoreV1().ServiceAccounts("default").Delete(ctx, "work", metav1.DeleteOptions{})
			},
			map[string]string{"ServiceAccount": "ServiceAccount work was missing"},
		},
		"the ServiceAccount belongs to another grant": {
			func(ctx context.Context, member kubernetes.Interface) error {
				account, err := member.CoreV1().ServiceAccounts("default").Get(ctx, "work", metav1.GetOptions{})
				if err == nil {
					account.Labels[grant.LabelGrantUID] = "grant-2"
					_, err = member.CoreV1().ServiceAccounts("default").Update(ctx, account, metav1.UpdateOptions{})
				}
				return err
			},
			map[string]string{"ServiceAccount": "ServiceAccount work was another grant's"},
		},
		"a binding has one more subject": {
			func(ctx context.Context, member kubernetes.Interface) error {
				b, err := member.RbacV1().ClusterRoleBindings().Get(ctx, "clusterpass:grant-work:view", metav1.GetOptions{})
				if err == nil {
					b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, Name: "mallory"})
					_, err = member.RbacV1().ClusterRoleBindings().Update(ctx, b, metav1.UpdateOptions{})
				}
				return err
			},
			map[string]string{"ClusterRoleBinding": "ClusterRoleBinding clusterpass:grant-work:view was changed"},
		},
		"a binding refers to another role": {
			func(ctx context.Context, member kubernetes.Interface) error {
				b, err := member.RbacV1().RoleBindings("ml").Get(ctx, "clusterpass:grant-work:pods", metav1.GetOptions{})
				if err == nil {
					b.RoleRef.Kind = "ClusterRole"
					_, err = member.RbacV1().RoleBindings("ml").Update(ctx, b, metav1.UpdateOptions{})
				}
				return err
			},
			map[string]string{"RoleBinding": "RoleBinding clusterpass:grant-work:pods was changed"},
		},
		"a role aggregates others": {
			func(ctx context.Context, member kubernetes.Interface) error {
				r, err := member.RbacV1().ClusterRoles().Get(ctx, "clusterpass:grant-work:pods", metav1.GetOptions{})
				if err == nil {
					r.AggregationRule = &rbacv1.AggregationRule{}
					_, err = member.RbacV1().ClusterRoles().Update(ctx, r, metav1.UpdateOptions{})
				}
				return err
			},
			map[string]string{"ClusterRole": "ClusterRole clusterpass:grant-work:pods was changed"},
		},
		"a role is gone": {
			func(ctx context.Context, member kubernetes.Interface) error {
				return member.RbacV1().Roles("ml").Delete(ctx, "clusterpass:grant-work:pods", metav1.DeleteOptions{})
			},
			map[string]string{"Role": "Role clusterpass:grant-work:pods was missing"},
		},
		"the role that a grant binds as existing is no business of ours": {
			func(ctx context.Context, member kubernetes.Interface) error {
				return member.RbacV1().ClusterRoles().Delete(ctx, "view", metav1.DeleteOptions{})
			},
			map[string]string{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, _, client := ensured(t)
			require.NoError(t, test.change(t.Context(), client))
			assert.Equal(t, test.want, list(t, client, "hub").Drift(g))
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
	large := rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "large", Labels: map[string]string{grant.LabelHubID: "hub", grant.LabelManagedBy: grant.ManagedBy}, Annotations: map[string]string{"a": strings.Repeat("a", 1<<20)}}}
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
