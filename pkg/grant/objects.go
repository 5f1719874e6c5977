// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"slices"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
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

// removalOrder is the order in which a grant's objects go. Without bindings the
// ServiceAccount has no rights; without the Secret its tokens end; the roles made
// for it are then of no use to anybody. The ServiceAccount keeps its name from
// being taken until the rest is gone.
var removalOrder = [][]string{
	{kindClusterRoleBinding, kindRoleBinding},
	{kindSecret},
	{kindClusterRole, kindRole},
	{kindServiceAccount},
}

// Objects returns what g owns on its member: what its spec takes.
func Objects(g *v1alpha1.AuthTokenGrant) []v1alpha1.MemberObject {
	account := g.Spec.ServiceAccount
	objects := []v1alpha1.MemberObject{
		{Kind: kindServiceAccount, Namespace: account.Namespace, Name: account.Name},
		{Kind: kindSecret, Namespace: account.Namespace, Name: SecretName(g.UID)},
	}
	for _, role := range g.Spec.ClusterRoles {
		name := BindingName(g.UID, role.Name)
		objects = append(objects, v1alpha1.MemberObject{Kind: kindClusterRoleBinding, Name: name})
		if len(role.Rules) > 0 {
			objects = append(objects, v1alpha1.MemberObject{Kind: kindClusterRole, Name: name})
		}
	}
	for _, role := range g.Spec.Roles {
		name := BindingName(g.UID, role.Name)
		objects = append(objects, v1alpha1.MemberObject{Kind: kindRoleBinding, Namespace: role.Namespace, Name: name})
		if len(role.Rules) > 0 {
			objects = append(objects, v1alpha1.MemberObject{Kind: kindRole, Namespace: role.Namespace, Name: name})
		}
	}
	return objects
}

// AllObjects returns what g may own on its member: what its spec takes, and what
// its status lists, which an update of the spec may have left.
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
