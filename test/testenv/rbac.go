// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"
)

// UserSubject returns a user as the subject of a binding.
func UserSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

// Grant creates a Role and a RoleBinding of that name, or a ClusterRole and a ClusterRoleBinding
// where namespace is empty, and returns once the subject has the rights: kube-apiserver learns of
// what was created by a watch.
func Grant(t testing.TB, cluster kubernetes.Interface, namespace, name string, subject rbacv1.Subject, rules ...rbacv1.PolicyRule) {
	t.Helper()
	rbac, meta := cluster.RbacV1(), metav1.ObjectMeta{Name: name}
	role := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}
	if namespace == "" {
		role.Kind = "ClusterRole"
		Create(t, rbac.ClusterRoles(), &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules})
	} else {
		Create(t, rbac.Roles(namespace), &rbacv1.Role{ObjectMeta: meta, Rules: rules})
	}
	bind(t, cluster, namespace, name, subject, role, rules)
}

// Bind binds a ClusterRole that is there as Grant binds what it creates: in one namespace, or where
// that is empty in all of the cluster.
func Bind(t testing.TB, cluster kubernetes.Interface, namespace, name string, subject rbacv1.Subject, clusterRole string) {
	t.Helper()
	role := Get(t, cluster.RbacV1().ClusterRoles(), clusterRole)
	bind(t, cluster, namespace, name, subject, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}, role.Rules)
}

func bind(
	t testing.TB, cluster kubernetes.Interface, namespace, name string, subject rbacv1.Subject, role rbacv1.RoleRef, rules []rbacv1.PolicyRule,
) {
	t.Helper()
	rbac, meta, subjects := cluster.RbacV1(), metav1.ObjectMeta{Name: name}, []rbacv1.Subject{subject}
	if namespace == "" {
		Create(t, rbac.ClusterRoleBindings(), &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: role})
	} else {
		Create(t, rbac.RoleBindings(namespace), &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: role})
	}
	for i := range rules {
		// kube-apiserver reads RBAC from its own cache, and keeps no answers: from the first yes on it is
		// yes.
		Eventually(t, func(ctx context.Context) error {
			return allowed(ctx, cluster, namespace, subject, &rules[i])
		})
	}
}

// allowed returns nil where a cluster allows a subject the first thing that a rule names.
func allowed(ctx context.Context, cluster kubernetes.Interface, namespace string, subject rbacv1.Subject, rule *rbacv1.PolicyRule) error {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{Groups: []string{user.AllAuthenticated}}}
	switch subject.Kind {
	case rbacv1.GroupKind:
		review.Spec.User, review.Spec.Groups = "somebody", []string{subject.Name}
	case rbacv1.ServiceAccountKind:
		review.Spec.User = serviceaccount.MakeUsername(cmp.Or(subject.Namespace, namespace), subject.Name)
	default:
		review.Spec.User = subject.Name
	}
	if len(rule.NonResourceURLs) > 0 {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: rule.NonResourceURLs[0], Verb: rule.Verbs[0]}
	} else {
		attributes := &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0]}
		attributes.Resource, attributes.Subresource, _ = strings.Cut(rule.Resources[0], "/")
		if len(rule.ResourceNames) > 0 {
			attributes.Name = rule.ResourceNames[0]
		}
		review.Spec.ResourceAttributes = attributes
	}
	answer, err := cluster.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	if err == nil && !answer.Status.Allowed {
		err = fmt.Errorf("%s %s may not yet do what %v says", subject.Kind, subject.Name, rule)
	}
	return err
}
