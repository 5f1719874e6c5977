// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// clusterRoleReady sees to a ClusterRole of the entitlement and to its binding.
func (w *worker) clusterRoleReady(ctx context.Context, role v1alpha1.ClusterRole) error {
	rules, err := w.clusterRole(ctx, w.roleName(role.Name, role.Rules), role.Rules)
	if apierrors.IsNotFound(err) && len(role.Rules) == 0 {
		return w.roleMissing(field.NewPath("spec", "clusterRoles"), role.Name)
	}
	if err != nil {
		return fmt.Errorf("cluster role %s: %w", role.Name, err)
	}
	w.probes.add("", rules)

	want := &rbacv1.ClusterRoleBinding{
		ObjectMeta: w.meta("", w.bindingName(role.Name)),
		Subjects:   w.subjects(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: w.roleName(role.Name, role.Rules)},
	}
	_, err = ownedReady(ctx, w.entitlement, w.client.RbacV1().ClusterRoleBindings(), want, func(found *rbacv1.ClusterRoleBinding) repair {
		return mendBinding(&found.Subjects, want.Subjects, found.RoleRef, want.RoleRef)
	})
	if err != nil {
		return fmt.Errorf("binding of cluster role %s: %w", role.Name, err)
	}
	return nil
}

// clusterRole returns the rules of the ClusterRole: the one made for this request
// where it has rules, else the one that exists.
func (w *worker) clusterRole(ctx context.Context, name string, rules []rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	api := w.client.RbacV1().ClusterRoles()
	if len(rules) == 0 {
		found, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return found.Rules, nil
	}
	want := &rbacv1.ClusterRole{ObjectMeta: w.meta("", name), Rules: rules}
	_, err := ownedReady(ctx, w.entitlement, api, want, func(found *rbacv1.ClusterRole) repair {
		if found.AggregationRule == nil && equality.Semantic.DeepEqual(found.Rules, rules) {
			return keep
		}
		found.Rules, found.AggregationRule = rules, nil
		return update
	})
	return rules, err
}

// roleReady sees to a Role of the entitlement and to its binding.
func (w *worker) roleReady(ctx context.Context, role v1alpha1.Role) error {
	rules, err := w.role(ctx, role.Namespace, w.roleName(role.Name, role.Rules), role.Rules)
	if apierrors.IsNotFound(err) && len(role.Rules) == 0 {
		return w.roleMissing(field.NewPath("spec", "roles"), role.Namespace+"/"+role.Name)
	}
	if err != nil {
		return fmt.Errorf("role %s/%s: %w", role.Namespace, role.Name, err)
	}
	w.probes.add(role.Namespace, rules)

	want := &rbacv1.RoleBinding{
		ObjectMeta: w.meta(role.Namespace, w.bindingName(role.Name)),
		Subjects:   w.subjects(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: w.roleName(role.Name, role.Rules)},
	}
	_, err = ownedReady(ctx, w.entitlement, w.client.RbacV1().RoleBindings(role.Namespace), want, func(found *rbacv1.RoleBinding) repair {
		return mendBinding(&found.Subjects, want.Subjects, found.RoleRef, want.RoleRef)
	})
	if err != nil {
		return fmt.Errorf("binding of role %s/%s: %w", role.Namespace, role.Name, err)
	}
	return nil
}

// role returns the rules of the Role: the one made for this request, in a
// namespace created where it is missing, or the one that exists.
func (w *worker) role(ctx context.Context, namespace, name string, rules []rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	api := w.client.RbacV1().Roles(namespace)
	if len(rules) == 0 {
		found, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return found.Rules, nil
	}
	want := &rbacv1.Role{ObjectMeta: w.meta(namespace, name), Rules: rules}
	err := w.inNamespace(ctx, namespace, func() error {
		_, err := ownedReady(ctx, w.entitlement, api, want, func(found *rbacv1.Role) repair {
			if equality.Semantic.DeepEqual(found.Rules, rules) {
				return keep
			}
			found.Rules = rules
			return update
		})
		return err
	})
	return rules, err
}

// mendBinding gives a binding that was found its subjects back. The role that a
// binding refers to can't be changed: one with another role is replaced.
func mendBinding(found *[]rbacv1.Subject, subjects []rbacv1.Subject, foundRole, role rbacv1.RoleRef) repair {
	switch {
	case foundRole != role:
		return replace
	case equality.Semantic.DeepEqual(*found, subjects):
		return keep
	}
	*found = subjects
	return update
}

// roleMissing refuses to bind a role that does not exist: the token would hold
// less than its owner believes, until somebody creates a role of that name.
func (w *worker) roleMissing(path *field.Path, name string) error {
	err := field.NotFound(path, name)
	err.Detail = fmt.Sprintf("cluster %s has no such role; give it rules to have it made", w.cluster)
	return &refusal{apierrors.NewInvalid(authTokenRequestKind, "", field.ErrorList{err})}
}
