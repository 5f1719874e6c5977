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

// parallelRemovals bounds the objects of one grant that are removed at once.
const parallelRemovals = 8

// Remove removes objects from the member: bindings first, then the Secret, the
// roles made for the grant, and the ServiceAccount, which stays where any of the
// others could not be removed. One that is not the grant's is left alone; one that
// is gone already, or its namespace, is no error. An object is the grant's by its name where that has the
// grant's UID, and else by the label with it: somebody on the member may have changed the labels, and this
// hub may have had another id when it made the object.
func (k *Keeper) Remove(ctx context.Context, objects []v1alpha1.MemberObject) error {
	var failed []error
	for _, kinds := range removalOrder {
		if len(failed) > 0 && slices.Contains(kinds, kindServiceAccount) {
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
		failed = append(failed, errors.Join(errs...))
		failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	}
	return errors.Join(failed...)
}

// EndTokens removes the Secret that the tokens of the grant are bound to. Those that
// are out end within TokenCacheTTL, and no more are issued for it.
func (k *Keeper) EndTokens(ctx context.Context) error {
	return k.Remove(ctx, []v1alpha1.MemberObject{{Kind: kindSecret, Namespace: k.Grant.Spec.ServiceAccount.Namespace, Name: SecretName(k.Grant.UID)}})
}

// EndRights removes all that the grant may own but the ServiceAccount: no token of
// it has any right after that, and none is accepted once TokenCacheTTL has passed.
// Until then the ServiceAccount has to stay, or a grant that takes its name would
// lend its rights to these tokens.
func (k *Keeper) EndRights(ctx context.Context) error {
	return k.Remove(ctx, slices.DeleteFunc(AllObjects(k.Grant), isServiceAccount))
}

func isServiceAccount(o v1alpha1.MemberObject) bool { return o.Kind == kindServiceAccount }

func (k *Keeper) remove(ctx context.Context, o v1alpha1.MemberObject) error {
	core, rbac := k.Client.CoreV1(), k.Client.RbacV1()
	var err error
	switch o.Kind {
	case kindClusterRoleBinding:
		err = removeOwned(ctx, k, rbac.ClusterRoleBindings(), o.Name)
	case kindRoleBinding:
		err = removeOwned(ctx, k, rbac.RoleBindings(o.Namespace), o.Name)
	case kindSecret:
		err = removeOwned(ctx, k, core.Secrets(o.Namespace), o.Name)
	case kindClusterRole:
		err = removeOwned(ctx, k, rbac.ClusterRoles(), o.Name)
	case kindRole:
		err = removeOwned(ctx, k, rbac.Roles(o.Namespace), o.Name)
	case kindServiceAccount:
		err = removeOwned(ctx, k, core.ServiceAccounts(o.Namespace), o.Name)
	default:
		return fmt.Errorf("a grant owns no %s", o.Kind)
	}
	if err != nil {
		return fmt.Errorf("removing %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

// RemoveExactly removes an object that was found, and its grant's Secret before a ServiceAccount: that one object,
// and not one that has taken its name since. One that is gone already is no error.
func RemoveExactly(ctx context.Context, client kubernetes.Interface, hubID string, o Object) error {
	core, rbac := client.CoreV1(), client.RbacV1()
	object := &metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, UID: o.UID}
	var err error
	switch o.Kind {
	case kindClusterRoleBinding:
		err = deleteExactly(ctx, object, rbac.ClusterRoleBindings().Delete)
	case kindRoleBinding:
		err = deleteExactly(ctx, object, rbac.RoleBindings(o.Namespace).Delete)
	case kindClusterRole:
		err = deleteExactly(ctx, object, rbac.ClusterRoles().Delete)
	case kindRole:
		err = deleteExactly(ctx, object, rbac.Roles(o.Namespace).Delete)
	case kindServiceAccount:
		keeper := &Keeper{HubID: hubID, Grant: &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{UID: o.Grant}}}
		err = removeOwned(ctx, keeper, core.Secrets(o.Namespace), SecretName(o.Grant))
		if err == nil {
			err = deleteExactly(ctx, object, core.ServiceAccounts(o.Namespace).Delete)
		}
	}
	// A conflict is the precondition: another object has its name.
	if err != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("removing %s %s: %w", o.Kind, o.Name, err)
	}
	return nil
}

type deleteFunc func(ctx context.Context, name string, opts metav1.DeleteOptions) error

// deleteExactly deletes the object that was seen, and not one that has taken its name since.
func deleteExactly(ctx context.Context, object metav1.Object, remove deleteFunc) error {
	uid := object.GetUID()
	err := remove(ctx, object.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// removeOwned deletes the object called name where it is the grant's, and leaves it where it is not.
func removeOwned[T metav1.Object](ctx context.Context, k *Keeper, api objects[T], name string) error {
	found, err := api.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case !k.isOfGrant(found):
		return nil
	}
	return deleteExactly(ctx, found, api.Delete)
}

// isOfGrant returns whether an object is the grant's to remove. UIDs are unique among hubs, too.
func (k *Keeper) isOfGrant(object metav1.Object) bool {
	uid := string(k.Grant.UID)
	return uid != "" && (object.GetLabels()[LabelGrantUID] == uid || strings.Contains(object.GetName(), uid))
}
