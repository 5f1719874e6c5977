// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

var somePods = []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}

// everyKind is a grant that owns objects of every kind.
func everyKind(s *v1alpha1.AuthTokenRequestSpec) {
	s.ClusterRoles = append(s.ClusterRoles, v1alpha1.ClusterRole{Name: "pods", Rules: somePods})
	s.Roles = []v1alpha1.Role{{Namespace: "default", Name: "pods", Rules: somePods}}
}

// What is changed on a member is repaired.
func TestSweep_Repair(t *testing.T) {
	g := mint(t, "default", "bravelion", "drifting", everyKind)
	rbac, accounts := shared.Bravelion.Kube(t).RbacV1(), shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default")
	bindings, view, pods := rbac.ClusterRoleBindings(), grant.BindingName(g.UID, "view"), grant.BindingName(g.UID, "pods")
	somebodyElse := []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"}}
	everything := []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}

	tests := map[string]struct {
		drift, right func(ctx context.Context) error
	}{
		"a binding is deleted": {deleted(bindings, view), right(bindings, view, nil)},
		"a binding is given to somebody else": {
			changed(bindings, view, func(b *rbacv1.ClusterRoleBinding) { b.Subjects = somebodyElse }),
			right(bindings, view, func(b *rbacv1.ClusterRoleBinding) bool {
				return len(b.Subjects) == 1 && b.Subjects[0].Name == "drifting"
			}),
		},
		"a binding is replaced by one to a stronger role": {
			func(ctx context.Context) error {
				b, err := bindings.Get(ctx, view, metav1.GetOptions{})
				if err != nil {
					return err
				}
				if err := bindings.Delete(ctx, view, metav1.DeleteOptions{}); err != nil {
					return err
				}
				b.ResourceVersion, b.UID, b.RoleRef.Name = "", "", "cluster-admin"
				_, err = bindings.Create(ctx, b, metav1.CreateOptions{})
				return err
			},
			right(bindings, view, func(b *rbacv1.ClusterRoleBinding) bool { return b.RoleRef.Name == "view" }),
		},
		"the rules of a ClusterRole made for the grant are widened": {
			changed(rbac.ClusterRoles(), pods, func(r *rbacv1.ClusterRole) { r.Rules = everything }),
			right(rbac.ClusterRoles(), pods, func(r *rbacv1.ClusterRole) bool { return equality.Semantic.DeepEqual(r.Rules, somePods) }),
		},
		"a Role made for the grant is deleted": {deleted(rbac.Roles("default"), pods), right(rbac.Roles("default"), pods, nil)},
		"the ServiceAccount is deleted":        {deleted(accounts, "drifting"), right(accounts, "drifting", nil)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, test.drift(t.Context()))
			testenv.Eventually(t, test.right)
		})
	}
	expectEvents(t, g, "DriftRepaired")
	again := mint(t, "default", "bravelion", "drifting", everyKind)
	assert.Equal(t, g.UID, again.UID)
	assert.NoError(t, again.use(t.Context()), "after all that, the next token of the grant works")
}

// typed is what the steps below use of a typed client.
type typed[T any] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// deleted is the step that deletes an object.
func deleted[T any](client typed[T], name string) func(context.Context) error {
	return func(ctx context.Context) error { return client.Delete(ctx, name, metav1.DeleteOptions{}) }
}

// changed is the step that changes an object.
func changed[T any](client typed[T], name string, change func(object T)) func(context.Context) error {
	return func(ctx context.Context) error {
		object, err := client.Get(ctx, name, metav1.GetOptions{})
		if err == nil {
			change(object)
			_, err = client.Update(ctx, object, metav1.UpdateOptions{})
		}
		return err
	}
}

// right is the step that wants an object to be there and right. If it is nil, any object will do.
func right[T any](client typed[T], name string, is func(object T) bool) func(context.Context) error {
	return func(ctx context.Context) error {
		object, err := client.Get(ctx, name, metav1.GetOptions{})
		if err == nil && is != nil && !is(object) {
			err = fmt.Errorf("it is %v", object)
		}
		return err
	}
}

// A ServiceAccount that somebody else has made is not taken over.
func TestSweep_ForeignAccount(t *testing.T) {
	g := mint(t, "default", "bravelion", "usurped", nil)
	accounts := shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default")
	require.NoError(t, accounts.Delete(t.Context(), "usurped", metav1.DeleteOptions{}))
	theirs, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "usurped"}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		t.Skip("the controller manager was quicker")
	}
	require.NoError(t, err)
	expectEvents(t, g, "DriftNotRepaired")
	found := testenv.Get(t, accounts, "usurped")
	assert.Equal(t, theirs.UID, found.UID)
	assert.Empty(t, found.Labels)
	deleteGrant(t, g)
	untilGone(t, g)
	found = testenv.Get(t, accounts, "usurped")
	assert.Equal(t, theirs.UID, found.UID, "the account was removed with the grant")
}

// lose makes the hub lose a grant without revoking it, as one does that is restored from an old
// backup.
func lose(t *testing.T, g granted) {
	t.Helper()
	testenv.Patch(t, grants(t, g.Namespace), g.Name, abandonMember)
	deleteGrant(t, g)
	untilGone(t, g)
}

// What belongs to no grant of this hub is removed.
func TestSweep_Orphans(t *testing.T) {
	kept := mint(t, "default", "bravelion", "not-lost", everyKind)
	before := everything(t, shared.Bravelion)
	// More than one sweep removes.
	lost := []granted{mint(t, "default", "bravelion", "lost-1", everyKind), mint(t, "default", "bravelion", "lost-2", everyKind)}
	another := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "of-a-second-hub", Labels: labelsOf("second-hub", lost[0].UID)},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}
	bindings := shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings()
	testenv.Create(t, bindings, another)
	stray := another.DeepCopy()
	stray.Name, stray.Labels = "not-named-by-its-grant", testenv.Get(t, bindings, grant.BindingName(kept.UID, "view")).Labels
	testenv.Create(t, bindings, stray)

	for _, g := range lost {
		lose(t, g)
	}
	testenv.Eventually(t, func(ctx context.Context) error {
		var left []string
		for o := range everything(t, shared.Bravelion) {
			if !before[o] && !strings.Contains(o, "of-a-second-hub") {
				left = append(left, o)
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	after := everything(t, shared.Bravelion)
	for o := range before {
		assert.True(t, after[o], "removed, and not an orphan: %s", o)
	}
	_, err := bindings.Get(t.Context(), "of-a-second-hub", metav1.GetOptions{})
	assert.NoError(t, err, "what belongs to another hub")
	for _, g := range lost {
		err := g.use(t.Context())
		assert.True(t, apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err), "a token of a grant that was lost: %v", err)
	}
	assert.NoError(t, kept.use(t.Context()), "the token of a grant that was not lost")
	testenv.Eventually(t, func(ctx context.Context) error {
		events, err := shared.Hub.Kube(t).EventsV1().Events("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Regarding.Kind == "ClusterProfile" && e.Regarding.Name == "bravelion" && e.Reason == "OrphansRemoved" {
				return nil
			}
		}
		return errors.New("no event on the ClusterProfile")
	})
}
