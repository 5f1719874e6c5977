// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// clusterRoleReady makes the member have a ClusterRole of the grant, and its binding.
func (w *worker) clusterRoleReady(ctx context.Context, role multiclusterv1alpha1.ClusterRole) error {
	rules, err := w.clusterRole(ctx, w.roleName(role.Name, role.Rules), role.Rules)
	if len(role.Rules) == 0 {
		err = w.checkRole(err, field.NewPath("spec", "clusterRoles"), role.Name)
	}
	if err != nil {
		return fmt.Errorf("cluster role %s: %w", role.Name, err)
	}
	w.probes.add("", rules)

	want := w.clusterRoleBinding(role)
	bindings := fenced[*rbacv1.ClusterRoleBinding]{w.Client.RbacV1().ClusterRoleBindings(), &w.fence}
	_, err = ownedReady(ctx, w, bindings, want, func(found *rbacv1.ClusterRoleBinding) (repair, error) {
		return mendBinding(&found.Subjects, want.Subjects, found.RoleRef, want.RoleRef), nil
	})
	if err != nil {
		return fmt.Errorf("binding of cluster role %s: %w", role.Name, err)
	}
	return nil
}

// clusterRole returns the rules of the ClusterRole: the one made for the grant
// where it has rules, else the one that exists.
func (w *worker) clusterRole(ctx context.Context, name string, rules []rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	api := w.Client.RbacV1().ClusterRoles()
	if len(rules) == 0 {
		found, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return found.Rules, nil
	}
	want := &rbacv1.ClusterRole{ObjectMeta: w.meta("", name), Rules: rules}
	_, err := ownedReady(ctx, w, fenced[*rbacv1.ClusterRole]{api, &w.fence}, want, func(found *rbacv1.ClusterRole) (repair, error) {
		if found.AggregationRule == nil && equality.Semantic.DeepEqual(found.Rules, rules) {
			return keep, nil
		}
		found.Rules, found.AggregationRule = rules, nil
		return update, nil
	})
	return rules, err
}

// roleReady makes the member have a Role of the grant, and its binding.
func (w *worker) roleReady(ctx context.Context, role multiclusterv1alpha1.Role) error {
	rules, err := w.role(ctx, role.Namespace, w.roleName(role.Name, role.Rules), role.Rules)
	if len(role.Rules) == 0 {
		err = w.checkRole(err, field.NewPath("spec", "roles"), role.Namespace+"/"+role.Name)
	}
	if err != nil {
		return fmt.Errorf("role %s/%s: %w", role.Namespace, role.Name, err)
	}
	w.probes.add(role.Namespace, rules)

	want := w.roleBinding(role)
	bindings := fenced[*rbacv1.RoleBinding]{w.Client.RbacV1().RoleBindings(role.Namespace), &w.fence}
	_, err = ownedReady(ctx, w, bindings, want, func(found *rbacv1.RoleBinding) (repair, error) {
		return mendBinding(&found.Subjects, want.Subjects, found.RoleRef, want.RoleRef), nil
	})
	if err != nil {
		return fmt.Errorf("binding of role %s/%s: %w", role.Namespace, role.Name, err)
	}
	return nil
}

// role returns the rules of the Role: the one made for the grant, in a
// namespace created where it is missing, or the one that exists.
func (w *worker) role(ctx context.Context, namespace, name string, rules []rbacv1.PolicyRule) ([]rbacv1.PolicyRule, error) {
	api := w.Client.RbacV1().Roles(namespace)
	if len(rules) == 0 {
		found, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return found.Rules, nil
	}
	want := &rbacv1.Role{ObjectMeta: w.meta(namespace, name), Rules: rules}
	err := w.inNamespace(ctx, namespace, func() error {
		_, err := ownedReady(ctx, w, fenced[*rbacv1.Role]{api, &w.fence}, want, func(found *rbacv1.Role) (repair, error) {
			if equality.Semantic.DeepEqual(found.Rules, rules) {
				return keep, nil
			}
			found.Rules = rules
			return update, nil
		})
		return err
	})
	return rules, err
}

// mendBinding gives a binding that was found its subjects back. The role that a
// binding refers to cannot be changed: one with another role is replaced.
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

// CheckRoles returns a *RefusedError where a role that the grant names as existing does
// not: the token would hold less than its owner believes, until somebody creates a
// role of that name.
func (k *Keeper) CheckRoles(ctx context.Context) error {
	rbac := k.Client.RbacV1()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRoles)
	for _, role := range k.Grant.Spec.ClusterRoles {
		if len(role.Rules) == 0 {
			group.Go(func() error {
				_, err := rbac.ClusterRoles().Get(ctx, role.Name, metav1.GetOptions{})
				return k.checkRole(err, field.NewPath("spec", "clusterRoles"), role.Name)
			})
		}
	}
	for _, role := range k.Grant.Spec.Roles {
		if len(role.Rules) == 0 {
			group.Go(func() error {
				_, err := rbac.Roles(role.Namespace).Get(ctx, role.Name, metav1.GetOptions{})
				return k.checkRole(err, field.NewPath("spec", "roles"), role.Namespace+"/"+role.Name)
			})
		}
	}
	return group.Wait()
}

// checkRole turns the error of looking for an existing role into the one to report.
func (k *Keeper) checkRole(err error, path *field.Path, name string) error {
	switch {
	case err == nil:
		return nil
	case !apierrors.IsNotFound(err):
		return fmt.Errorf("role %s: %w", name, err)
	}
	missing := field.NotFound(path, name)
	missing.Detail = fmt.Sprintf("cluster %s has no such role; give it rules to have it created", Cluster(k.Grant))
	return &RefusedError{apierrors.NewInvalid(authTokenRequestKind, k.Grant.Spec.ClusterProfile.Name, field.ErrorList{missing})}
}

// CheckBindings has the member say whether it lets us make what the grant gives, without
// making any of it: its error is the member's. A role with rules is tried without its binding.
func (k *Keeper) CheckBindings(ctx context.Context) error {
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	rbac := k.Client.RbacV1()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRoles)
	for _, role := range k.Grant.Spec.ClusterRoles {
		group.Go(func() (err error) {
			if len(role.Rules) > 0 {
				_, err = rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: k.meta("", k.bindingName(role.Name)), Rules: role.Rules}, dryRun)
			} else {
				_, err = rbac.ClusterRoleBindings().Create(ctx, k.clusterRoleBinding(role), dryRun)
			}
			return notExisting(err)
		})
	}
	for _, role := range k.Grant.Spec.Roles {
		group.Go(func() (err error) {
			if len(role.Rules) > 0 {
				_, err = rbac.Roles(role.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: k.meta(role.Namespace, k.bindingName(role.Name)), Rules: role.Rules}, dryRun)
			} else {
				_, err = rbac.RoleBindings(role.Namespace).Create(ctx, k.roleBinding(role), dryRun)
			}
			return notExisting(err)
		})
	}
	return group.Wait()
}

// notExisting drops the error of a dry run that says that the object exists, or that its namespace does not yet.
func notExisting(err error) error {
	if apierrors.IsAlreadyExists(err) || isNamespaceMissing(err) {
		return nil
	}
	return err
}

func (k *Keeper) clusterRoleBinding(role multiclusterv1alpha1.ClusterRole) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: k.meta("", k.bindingName(role.Name)),
		Subjects:   k.subjects(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kindClusterRole, Name: k.roleName(role.Name, role.Rules)},
	}
}

func (k *Keeper) roleBinding(role multiclusterv1alpha1.Role) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: k.meta(role.Namespace, k.bindingName(role.Name)),
		Subjects:   k.subjects(),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kindRole, Name: k.roleName(role.Name, role.Rules)},
	}
}
