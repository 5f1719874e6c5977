// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"fmt"
	"slices"

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

// Kinds of the objects that a grant owns on its member.
const (
	kindServiceAccount     = "ServiceAccount"
	kindSecret             = "Secret"
	kindRole               = "Role"
	kindRoleBinding        = "RoleBinding"
	kindClusterRole        = "ClusterRole"
	kindClusterRoleBinding = "ClusterRoleBinding"
)

// removalOrder is the order in which a grant's objects are removed. Without bindings the
// ServiceAccount has no rights, and without the Secret its tokens end. After that, nobody needs the
// roles that were created for it. The ServiceAccount goes last: until then, no other grant can take
// its name.
var removalOrder = [][]string{
	{kindClusterRoleBinding, kindRoleBinding},
	{kindSecret},
	{kindClusterRole, kindRole},
	{kindServiceAccount},
}

// Objects returns the objects that the spec of g needs on its member.
func Objects(g *v1alpha1.AuthTokenGrant) []v1alpha1.MemberObject {
	account := g.Spec.ServiceAccount
	objects := []v1alpha1.MemberObject{
		{Kind: kindServiceAccount, Namespace: account.Namespace, Name: account.Name},
		{Kind: kindSecret, Namespace: account.Namespace, Name: SecretName(g.UID)},
	}
	for _, role := range rolesOf(g) {
		name := BindingName(g.UID, role.Name)
		objects = append(objects, v1alpha1.MemberObject{Kind: role.Kind + "Binding", Namespace: role.Namespace, Name: name})
		if !role.IsExisting() {
			objects = append(objects, v1alpha1.MemberObject{Kind: role.Kind, Namespace: role.Namespace, Name: name})
		}
	}
	return objects
}

// AllObjects returns all objects that g may own on its member: those that its spec needs, and those
// in its status, which an update of the spec may have left over.
func AllObjects(g *v1alpha1.AuthTokenGrant) []v1alpha1.MemberObject {
	return Union(Objects(g), g.Status.MemberObjects)
}

// Union returns the objects of a, and those of b that are not among them.
func Union(a, b []v1alpha1.MemberObject) []v1alpha1.MemberObject {
	return append(slices.Clone(a), Without(b, a)...)
}

// Without returns the objects that are not among others.
func Without(objects, others []v1alpha1.MemberObject) []v1alpha1.MemberObject {
	return slices.DeleteFunc(slices.Clone(objects), func(o v1alpha1.MemberObject) bool { return slices.Contains(others, o) })
}

// objects is the part of a typed client that a Keeper uses.
type objects[T metav1.Object] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// repair is what must be done to an object that was found, from least to most.
type repair int

const (
	keep repair = iota
	update
	replace
)

// foundOrCreated returns the object called name, after calling create if it is missing, and whether
// create has created it. Somebody else may create it at the same time.
func foundOrCreated[T metav1.Object](
	ctx context.Context, api objects[T], name string, create func() (T, error),
) (object T, created bool, err error) {
	object, err = api.Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return object, false, err
	}
	object, err = create()
	if apierrors.IsAlreadyExists(err) {
		object, err = api.Get(ctx, name, metav1.GetOptions{})
		return object, false, err
	}
	return object, err == nil, err
}

// ensureOwned returns the object of the grant that want describes, and creates it if it is missing.
// For an object that exists, mend corrects the fields that differ, and returns whether the object
// is kept, updated or replaced. If the object is not the grant's, ensureOwned returns a
// *RefusedError and does not change it. It waits for the fence before it creates or updates an
// object.
func ensureOwned[T metav1.Object](ctx context.Context, e *ensurer, api objects[T], want T, mend func(found T) (repair, error)) (T, error) {
	create := func() (T, error) {
		if err := e.fence.wait(ctx); err != nil {
			return want, err
		}
		return api.Create(ctx, want, metav1.CreateOptions{})
	}
	found, created, err := foundOrCreated(ctx, api, want.GetName(), create)
	if created {
		e.changed.Store(true)
	}
	if created || err != nil {
		return found, err
	}
	if !e.owns(found) {
		return found, e.refuse("%T %s exists and is not this grant's", want, want.GetName())
	}
	needed, err := mend(found)
	if err != nil || needed == keep {
		return found, err
	}
	e.changed.Store(true)
	if needed == replace {
		if err := deleteExactly(ctx, found, api.Delete); err != nil {
			return found, err
		}
		return create()
	}
	if err := e.fence.wait(ctx); err != nil {
		return found, err
	}
	return api.Update(ctx, found, metav1.UpdateOptions{})
}

// Role is a role that a request or a grant names.
type Role struct {
	// Kind is ClusterRole or Role. A ClusterRole has no Namespace.
	Kind, Namespace, Name string
	// Rules are those of a role that is created for the grant. An existing role has none here.
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

// IsExisting returns whether the role is named as an existing role of the member. It does not ask
// the member.
func (r Role) IsExisting() bool { return len(r.Rules) == 0 }

// OfCluster returns whether r is a ClusterRole.
func (r Role) OfCluster() bool { return r.Kind == kindClusterRole }

// String returns the name, after the namespace of a Role and a slash.
func (r Role) String() string {
	if r.OfCluster() {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// On returns the role with the name that it has on the member, for the grant with that UID.
func (r Role) On(uid types.UID) Role {
	if !r.IsExisting() {
		r.Name = BindingName(uid, r.Name)
	}
	return r
}

// eachRole calls do for the roles of the grant, several in parallel, and returns the first error.
func (k *Keeper) eachRole(ctx context.Context, do func(ctx context.Context, role Role) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRoles)
	for _, role := range rolesOf(k.Grant) {
		group.Go(func() error { return do(ctx, role) })
	}
	return group.Wait()
}

// ensureRole ensures a role of the grant and its binding.
func (e *ensurer) ensureRole(ctx context.Context, role Role) error {
	rules, err := e.ensureRules(ctx, role)
	if err != nil {
		return fmt.Errorf("%s %s: %w", role.Kind, role, err)
	}
	e.addAccessCheck(role.Namespace, rules)
	if err := e.ensureBinding(ctx, role); err != nil {
		return fmt.Errorf("%sBinding of %s: %w", role.Kind, role, err)
	}
	return nil
}

// ensureRules returns the rules of a role. It reads an existing role. Otherwise it ensures the
// role, and also the namespace of a Role.
func (e *ensurer) ensureRules(ctx context.Context, role Role) ([]rbacv1.PolicyRule, error) {
	rbac := e.Client.RbacV1()
	switch {
	case role.IsExisting():
		return e.existingRole(ctx, role)
	case role.OfCluster():
		_, err := ensureOwned(ctx, e, rbac.ClusterRoles(), e.clusterRole(role), func(found *rbacv1.ClusterRole) (repair, error) {
			return max(restore(&found.Rules, role.Rules), restore(&found.AggregationRule, nil)), nil
		})
		return role.Rules, err
	}
	return role.Rules, e.inNamespace(ctx, role.Namespace, func() error {
		_, err := ensureOwned(ctx, e, rbac.Roles(role.Namespace), e.role(role), func(found *rbacv1.Role) (repair, error) {
			return restore(&found.Rules, role.Rules), nil
		})
		return err
	})
}

// restore sets a field of an object to want, and returns whether the object must be updated.
func restore[T any](found *T, want T) repair {
	if equality.Semantic.DeepEqual(*found, want) {
		return keep
	}
	*found = want
	return update
}

// ensureBinding ensures the binding for a role of the grant.
func (e *ensurer) ensureBinding(ctx context.Context, role Role) (err error) {
	rbac, want := e.Client.RbacV1(), e.roleBinding(role)
	// The roleRef of a binding is immutable, so a binding with another roleRef is replaced.
	mend := func(subjects *[]rbacv1.Subject, to rbacv1.RoleRef) repair {
		if to != want.RoleRef {
			return replace
		}
		return restore(subjects, want.Subjects)
	}
	if role.OfCluster() {
		want := (*rbacv1.ClusterRoleBinding)(want)
		_, err = ensureOwned(ctx, e, rbac.ClusterRoleBindings(), want, func(found *rbacv1.ClusterRoleBinding) (repair, error) {
			return mend(&found.Subjects, found.RoleRef), nil
		})
		return err
	}
	_, err = ensureOwned(ctx, e, rbac.RoleBindings(role.Namespace), want, func(found *rbacv1.RoleBinding) (repair, error) {
		return mend(&found.Subjects, found.RoleRef), nil
	})
	return err
}

// CheckRoles returns a *RefusedError if an existing role that the grant names is missing. Otherwise
// the token would have fewer rights than requested, until somebody creates a role of that name.
func (k *Keeper) CheckRoles(ctx context.Context) error {
	return k.eachRole(ctx, func(ctx context.Context, role Role) error {
		if !role.IsExisting() {
			return nil
		}
		if _, err := k.existingRole(ctx, role); err != nil {
			return fmt.Errorf("%s %s: %w", role.Kind, role, err)
		}
		return nil
	})
}

// existingRole returns the rules of an existing role, or a *RefusedError if it is missing.
func (k *Keeper) existingRole(ctx context.Context, role Role) ([]rbacv1.PolicyRule, error) {
	rules, err := k.readRole(ctx, role)
	if !apierrors.IsNotFound(err) {
		return rules, err
	}
	path := field.NewPath("spec", map[string]string{kindClusterRole: "clusterRoles", kindRole: "roles"}[role.Kind])
	missing := field.NotFound(path, role.String())
	missing.Detail = fmt.Sprintf("cluster %s has no such role; give it rules to have it created", Cluster(k.Grant))
	kind := multiclusterv1alpha1.Kind("AuthTokenRequest")
	return nil, &RefusedError{apierrors.NewInvalid(kind, k.Grant.Spec.ClusterProfile.Name, field.ErrorList{missing})}
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

// CheckBindings checks by a dry run whether the member lets clusterpass create the bindings to
// existing roles, and the other roles of the grant. Its error is the member's. The bindings of the
// other roles are not checked.
func (k *Keeper) CheckBindings(ctx context.Context) error {
	rbac, dryRun := k.Client.RbacV1(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	return k.eachRole(ctx, func(ctx context.Context, role Role) (err error) {
		switch {
		case role.OfCluster() && role.IsExisting():
			_, err = rbac.ClusterRoleBindings().Create(ctx, (*rbacv1.ClusterRoleBinding)(k.roleBinding(role)), dryRun)
		case role.OfCluster():
			_, err = rbac.ClusterRoles().Create(ctx, k.clusterRole(role), dryRun)
		case role.IsExisting():
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

// bindingMeta returns the metadata of the binding for a role, and of the role if it is created for
// the grant.
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

// roleBinding returns the binding for a role. A ClusterRoleBinding has the same fields.
func (k *Keeper) roleBinding(role Role) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: k.bindingMeta(role), Subjects: k.subjects(), RoleRef: k.roleRef(role)}
}
