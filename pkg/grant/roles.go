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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

// Role is a role that a request or a grant names.
type Role struct {
	// Kind is ClusterRole or Role. A ClusterRole has no Namespace.
	Kind, Namespace, Name string
	// Rules are those of a role that is created for the grant. There are none for one that exists.
	Rules []rbacv1.PolicyRule
}

// Roles returns the ClusterRoles and the Roles of a request or a grant, in this order.
func Roles(clusterRoles []multiclusterv1alpha1.ClusterRole, roles []multiclusterv1alpha1.Role) []Role {
	all := make([]Role, 0, len(clusterRoles)+len(roles))
	for _, r := range clusterRoles {
		all = append(all, Role{Kind: kindClusterRole, Name: r.Name, Rules: r.Rules})
	}
	for _, r := range roles {
		all = append(all, Role{Kind: kindRole, Namespace: r.Namespace, Name: r.Name, Rules: r.Rules})
	}
	return all
}

// rolesOf returns the roles of g.
func rolesOf(g *v1alpha1.AuthTokenGrant) []Role { return Roles(g.Spec.ClusterRoles, g.Spec.Roles) }

// Exists returns whether the role is one that the member has already.
func (r Role) Exists() bool { return len(r.Rules) == 0 }

// OfCluster returns whether r is a ClusterRole.
func (r Role) OfCluster() bool { return r.Kind == kindClusterRole }

// String returns the name, after the namespace of a Role and a slash.
func (r Role) String() string {
	if r.OfCluster() {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// On returns the role by the name that it has on the member for the grant with that UID.
func (r Role) On(uid types.UID) Role {
	if !r.Exists() {
		r.Name = BindingName(uid, r.Name)
	}
	return r
}

func (r Role) bindingKind() string { return r.Kind + "Binding" }

// eachRole calls do for the roles of the grant, several at once, and returns the first error.
func (k *Keeper) eachRole(ctx context.Context, do func(ctx context.Context, role Role) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRoles)
	for _, role := range rolesOf(k.Grant) {
		group.Go(func() error { return do(ctx, role) })
	}
	return group.Wait()
}

// ensureRole makes the member have a role of the grant, and its binding.
func (w *worker) ensureRole(ctx context.Context, role Role) error {
	rules, err := w.ensureRules(ctx, role)
	if err != nil {
		return fmt.Errorf("%s %s: %w", role.Kind, role, err)
	}
	w.addProbe(role.Namespace, rules)
	if err := w.ensureBinding(ctx, role); err != nil {
		return fmt.Errorf("%s of %s: %w", role.bindingKind(), role, err)
	}
	return nil
}

// ensureRules returns the rules of a role: of the one that is made for the grant, in a namespace
// that is created if it is missing, or of the one that exists.
func (w *worker) ensureRules(ctx context.Context, role Role) ([]rbacv1.PolicyRule, error) {
	rbac := w.Client.RbacV1()
	switch {
	case role.Exists():
		return w.existingRole(ctx, role)
	case role.OfCluster():
		_, err := ensureOwned(ctx, w, rbac.ClusterRoles(), w.clusterRole(role), func(found *rbacv1.ClusterRole) (repair, error) {
			return max(restore(&found.Rules, role.Rules), restore(&found.AggregationRule, nil)), nil
		})
		return role.Rules, err
	}
	return role.Rules, w.inNamespace(ctx, role.Namespace, func() error {
		_, err := ensureOwned(ctx, w, rbac.Roles(role.Namespace), w.role(role), func(found *rbacv1.Role) (repair, error) {
			return restore(&found.Rules, role.Rules), nil
		})
		return err
	})
}

// restore gives a field of an object that was found the value that it should have.
func restore[T any](found *T, want T) repair {
	if equality.Semantic.DeepEqual(*found, want) {
		return keep
	}
	*found = want
	return update
}

// ensureBinding makes the member have the binding for a role of the grant.
func (w *worker) ensureBinding(ctx context.Context, role Role) error {
	rbac := w.Client.RbacV1()
	// The role that a binding refers to cannot be changed: one with another role is replaced.
	mendBinding := func(found *[]rbacv1.Subject, to rbacv1.RoleRef) (repair, error) {
		if to != w.roleRef(role) {
			return replace, nil
		}
		return restore(found, w.subjects()), nil
	}
	if role.OfCluster() {
		api, want := rbac.ClusterRoleBindings(), w.clusterRoleBinding(role)
		_, err := ensureOwned(ctx, w, api, want, func(found *rbacv1.ClusterRoleBinding) (repair, error) {
			return mendBinding(&found.Subjects, found.RoleRef)
		})
		return err
	}
	api, want := rbac.RoleBindings(role.Namespace), w.roleBinding(role)
	_, err := ensureOwned(ctx, w, api, want, func(found *rbacv1.RoleBinding) (repair, error) {
		return mendBinding(&found.Subjects, found.RoleRef)
	})
	return err
}

// CheckRoles returns a *RefusedError where a role that the grant names as existing does
// not: the token would hold less than its owner believes, until somebody creates a
// role of that name.
func (k *Keeper) CheckRoles(ctx context.Context) error {
	return k.eachRole(ctx, func(ctx context.Context, role Role) error {
		if !role.Exists() {
			return nil
		}
		if _, err := k.existingRole(ctx, role); err != nil {
			return fmt.Errorf("%s %s: %w", role.Kind, role, err)
		}
		return nil
	})
}

// existingRole returns the rules of a role that is to exist, or a *RefusedError if it does not.
func (k *Keeper) existingRole(ctx context.Context, role Role) ([]rbacv1.PolicyRule, error) {
	rules, err := k.readRole(ctx, role)
	if !apierrors.IsNotFound(err) {
		return rules, err
	}
	path := field.NewPath("spec", map[string]string{kindClusterRole: "clusterRoles", kindRole: "roles"}[role.Kind])
	missing := field.NotFound(path, role.String())
	missing.Detail = fmt.Sprintf("cluster %s has no such role; give it rules to have it created", Cluster(k.Grant))
	return nil, &RefusedError{apierrors.NewInvalid(authTokenRequestKind, k.Grant.Spec.ClusterProfile.Name, field.ErrorList{missing})}
}

func (k *Keeper) readRole(ctx context.Context, role Role) ([]rbacv1.PolicyRule, error) {
	if role.OfCluster() {
		found, err := k.Client.RbacV1().ClusterRoles().Get(ctx, role.Name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		return found.Rules, nil
	}
	found, err := k.Client.RbacV1().Roles(role.Namespace).Get(ctx, role.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.Rules, nil
}

// CheckBindings has the member say whether it lets us make what the grant gives, without
// making any of it: its error is the member's. A role with rules is tried without its binding.
func (k *Keeper) CheckBindings(ctx context.Context) error {
	rbac, dryRun := k.Client.RbacV1(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return k.eachRole(ctx, func(ctx context.Context, role Role) (err error) {
		switch {
		case role.OfCluster() && role.Exists():
			_, err = rbac.ClusterRoleBindings().Create(ctx, k.clusterRoleBinding(role), dryRun)
		case role.OfCluster():
			_, err = rbac.ClusterRoles().Create(ctx, k.clusterRole(role), dryRun)
		case role.Exists():
			_, err = rbac.RoleBindings(role.Namespace).Create(ctx, k.roleBinding(role), dryRun)
		default:
			_, err = rbac.Roles(role.Namespace).Create(ctx, k.role(role), dryRun)
		}
		// The object may exist already, and its namespace not yet.
		if apierrors.IsAlreadyExists(err) || isNamespaceMissing(err) {
			return nil
		}
		return err
	})
}

// bindingMeta returns the metadata of the binding for a role, and of the role if it is made for the
// grant.
func (k *Keeper) bindingMeta(role Role) metav1.ObjectMeta {
	return k.meta(role.Namespace, BindingName(k.Grant.UID, role.Name))
}

func (k *Keeper) roleRef(role Role) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.Kind, Name: role.On(k.Grant.UID).Name}
}

func (k *Keeper) clusterRole(role Role) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: k.bindingMeta(role), Rules: role.Rules}
}

func (k *Keeper) role(role Role) *rbacv1.Role {
	return &rbacv1.Role{ObjectMeta: k.bindingMeta(role), Rules: role.Rules}
}

func (k *Keeper) clusterRoleBinding(role Role) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: k.bindingMeta(role), Subjects: k.subjects(), RoleRef: k.roleRef(role)}
}

func (k *Keeper) roleBinding(role Role) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: k.bindingMeta(role), Subjects: k.subjects(), RoleRef: k.roleRef(role)}
}
