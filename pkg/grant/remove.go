// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// parallelRemovals bounds how many objects of one grant are removed in parallel.
const parallelRemovals = 8

// Remove removes objects from the member: bindings first, then the Secret, the roles that were
// created for the grant, and the ServiceAccount. The ServiceAccount stays if another object could
// not be removed. Remove keeps objects that are not the grant's. A missing object or namespace is
// no error.
//
// An object whose name has the grant's UID is the grant's, and so is one whose label has it.
// Somebody on the member may have changed the labels. This hub may have had another id when it
// created the object.
func (k *Keeper) Remove(ctx context.Context, objects []v1alpha1.MemberObject) error {
	var failed error
	for _, kinds := range removalOrder {
		if failed != nil && slices.Contains(kinds, kindServiceAccount) {
			break
		}
		errs := make([]error, len(objects))
		var group errgroup.Group
		group.SetLimit(parallelRemovals)
		for i, object := range objects {
			if slices.Contains(kinds, object.Kind) {
				group.Go(func() error {
					errs[i] = k.remove(ctx, object)
					return nil
				})
			}
		}
		_ = group.Wait()
		failed = errors.Join(failed, errors.Join(errs...))
	}
	return failed
}

// EndTokens removes the Secret that the tokens of the grant are bound to. Existing tokens end
// within TokenCacheTTL, and the member issues no more for that Secret.
func (k *Keeper) EndTokens(ctx context.Context) error {
	secret := v1alpha1.MemberObject{Kind: kindSecret, Namespace: k.Grant.Spec.ServiceAccount.Namespace, Name: SecretName(k.Grant.UID)}
	return k.Remove(ctx, []v1alpha1.MemberObject{secret})
}

// EndRights removes all objects that the grant may own, except for the ServiceAccount. After that
// its tokens have no rights, and after TokenCacheTTL the member does not accept them any more.
// Until then, the ServiceAccount has to stay. Otherwise, a new grant with the same account name
// would give its rights to the old tokens.
func (k *Keeper) EndRights(ctx context.Context) error {
	return k.Remove(ctx, slices.DeleteFunc(AllObjects(k.Grant), func(o v1alpha1.MemberObject) bool { return o.Kind == kindServiceAccount }))
}

// remove removes an object if it is the grant's, and else keeps it.
func (k *Keeper) remove(ctx context.Context, o v1alpha1.MemberObject) error {
	api, err := apiOf(k.Client, o)
	if err != nil {
		return err
	}
	found, err := api.get(ctx, o.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err == nil && !k.isOfGrant(found):
		return nil
	case err == nil:
		err = deleteExactly(ctx, found, api.remove)
	}
	if err != nil {
		return fmt.Errorf("removing %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

// api is how objects of one kind are read and removed.
type api struct {
	get    func(ctx context.Context, name string) (metav1.Object, error)
	remove deleteFunc
}

func newAPI[T metav1.Object](of objects[T]) api {
	get := func(ctx context.Context, name string) (metav1.Object, error) {
		return of.Get(ctx, name, metav1.GetOptions{})
	}
	return api{get: get, remove: of.Delete}
}

// apiOf returns the api of the kind and namespace of an object.
func apiOf(client kubernetes.Interface, o v1alpha1.MemberObject) (api, error) {
	core, rbac := client.CoreV1(), client.RbacV1()
	switch o.Kind {
	case kindClusterRoleBinding:
		return newAPI(rbac.ClusterRoleBindings()), nil
	case kindRoleBinding:
		return newAPI(rbac.RoleBindings(o.Namespace)), nil
	case kindSecret:
		return newAPI(core.Secrets(o.Namespace)), nil
	case kindClusterRole:
		return newAPI(rbac.ClusterRoles()), nil
	case kindRole:
		return newAPI(rbac.Roles(o.Namespace)), nil
	case kindServiceAccount:
		return newAPI(core.ServiceAccounts(o.Namespace)), nil
	}
	return api{}, fmt.Errorf("a grant owns no %s", o.Kind)
}

// RemoveExactly removes the object o, and not another one that has taken its name since. For a
// ServiceAccount, it removes the Secret of its grant first. A missing object is no error.
func RemoveExactly(ctx context.Context, client kubernetes.Interface, o Object) error {
	api, err := apiOf(client, o.MemberObject)
	if err == nil && o.Kind == kindServiceAccount {
		g := &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{UID: o.Grant}}
		g.Spec.ServiceAccount.Namespace = o.Namespace
		err = (&Keeper{Grant: g, Client: client}).EndTokens(ctx)
	}
	if err == nil {
		err = deleteExactly(ctx, &metav1.ObjectMeta{Name: o.Name, UID: o.UID}, api.remove)
	}
	// A conflict means that the precondition failed: another object has this name.
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

type deleteFunc func(ctx context.Context, name string, opts metav1.DeleteOptions) error

// deleteExactly deletes this object, and not another one that has taken its name since.
func deleteExactly(ctx context.Context, object metav1.Object, remove deleteFunc) error {
	uid := object.GetUID()
	err := remove(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// isOfGrant returns whether an object is the grant's to remove. It is laxer than owns, because the
// labels may have been changed on the member, or written by this hub under another id. UIDs are
// unique among hubs, too.
func (k *Keeper) isOfGrant(object metav1.Object) bool {
	uid := string(k.Grant.UID)
	return uid != "" && (object.GetLabels()[LabelGrantUID] == uid || strings.Contains(object.GetName(), uid))
}
