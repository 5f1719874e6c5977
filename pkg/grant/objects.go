// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
		objects = append(objects, v1alpha1.MemberObject{Kind: role.bindingKind(), Namespace: role.Namespace, Name: name})
		if !role.Exists() {
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

// objects is the part of a typed client that a kind of object is kept by.
type objects[T metav1.Object] interface {
	Get(ctx context.Context, name string, opts metav1.GetOptions) (T, error)
	Create(ctx context.Context, object T, opts metav1.CreateOptions) (T, error)
	Update(ctx context.Context, object T, opts metav1.UpdateOptions) (T, error)
	Delete(ctx context.Context, name string, opts metav1.DeleteOptions) error
}

// repair is what it takes to make an object as it should be.
type repair int

const (
	keep repair = iota
	update
	replace
)

// foundOrCreated returns the object called name, created where it is missing, and whether create has
// done so. Somebody else may create it at the same time.
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

// ensureOwned returns the object of the grant that want describes, created where it is missing. One
// that is there is mended: mend changes what it finds and says what that takes. One of that name
// that is not the grant's is a *RefusedError and is not touched. What is new waits for the fence.
func ensureOwned[T metav1.Object](ctx context.Context, w *worker, api objects[T], want T, mend func(found T) (repair, error)) (T, error) {
	create := func() (T, error) {
		if err := w.fence.wait(ctx); err != nil {
			return want, err
		}
		return api.Create(ctx, want, metav1.CreateOptions{})
	}
	found, created, err := foundOrCreated(ctx, api, want.GetName(), create)
	if created {
		w.changed.Store(true)
	}
	if created || err != nil {
		return found, err
	}
	if !w.owns(found) {
		return found, w.refuse("%T %s exists and is not this grant's", want, want.GetName())
	}
	needed, err := mend(found)
	if err != nil || needed == keep {
		return found, err
	}
	w.changed.Store(true)
	if needed == replace {
		if err := deleteExactly(ctx, found, api.Delete); err != nil {
			return found, err
		}
		return create()
	}
	if err := w.fence.wait(ctx); err != nil {
		return found, err
	}
	return api.Update(ctx, found, metav1.UpdateOptions{})
}
