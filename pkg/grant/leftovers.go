// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/serviceaccount"
	"k8s.io/klog/v2"
)

// maxLeftovers bounds the number of leftover bindings of a member.
const maxLeftovers = 1000

// leftover is a binding that names the ServiceAccount of a grant, and is not the grant's.
type leftover struct {
	metav1.ObjectMeta
	// ours says that clusterpass made it for another grant of this hub.
	ours   bool
	remove deleteFunc
}

// leftovers returns the bindings that name the ServiceAccount, which does not exist. Bindings refer
// to subjects by name, and would give a new account rights that nobody has requested. It returns a
// *RefusedError if one of the bindings is not this hub's.
func (k *Keeper) leftovers(ctx context.Context) ([]leftover, error) {
	rbac := k.Client.RbacV1()
	var all []leftover
	add := func(binding metav1.Object, subjects []rbacv1.Subject, remove deleteFunc) error {
		if k.owns(binding) || !slices.ContainsFunc(subjects, k.isSubject) {
			return nil
		}
		if !hasUsualNames(binding) {
			return fmt.Errorf("one has a name of %d bytes", len(binding.GetName()))
		}
		if len(all) == maxLeftovers {
			return fmt.Errorf("more than %d", maxLeftovers)
		}
		meta := metav1.ObjectMeta{Name: binding.GetName(), UID: binding.GetUID()}
		all = append(all, leftover{ObjectMeta: meta, ours: k.isOfHub(binding), remove: remove})
		return nil
	}
	err := each(ctx, rbac.RESTClient(), kindClusterRoleBinding, metav1.ListOptions{}, func(b *rbacv1.ClusterRoleBinding, _ int) error {
		return add(b, b.Subjects, rbac.ClusterRoleBindings().Delete)
	})
	if err == nil {
		err = each(ctx, rbac.RESTClient(), kindRoleBinding, metav1.ListOptions{}, func(b *rbacv1.RoleBinding, _ int) error {
			return add(b, b.Subjects, rbac.RoleBindings(b.Namespace).Delete)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("looking for bindings that name the service account: %w", err)
	}
	for _, binding := range all {
		if !binding.ours {
			return nil, k.refuse("binding %q, which this hub did not make, names ServiceAccount %s, which does not exist; choose another name",
				binding.GetName(), Account(k.Grant))
		}
	}
	return all, nil
}

// isSubject returns whether subject is the ServiceAccount, by its kind or by its user name.
func (k *Keeper) isSubject(subject rbacv1.Subject) bool {
	account := k.Grant.Spec.ServiceAccount
	switch subject.Kind {
	case rbacv1.ServiceAccountKind:
		return subject.Namespace == account.Namespace && subject.Name == account.Name
	case rbacv1.UserKind:
		return subject.Name == serviceaccount.MakeUsername(account.Namespace, account.Name)
	}
	return false
}

// clearLeftovers removes the bindings of other grants of this hub that are left over from a
// ServiceAccount of this name. Somebody has deleted that account on the member.
func (k *Keeper) clearLeftovers(ctx context.Context) error {
	all, err := k.leftovers(ctx)
	if err != nil {
		return err
	}
	for _, binding := range all {
		klog.FromContext(ctx).Info("Removing a binding left over from a deleted ServiceAccount",
			"cluster", Cluster(k.Grant), "binding", binding.GetName(), "serviceAccount", Account(k.Grant))
		if err := deleteExactly(ctx, &binding, binding.remove); err != nil {
			return fmt.Errorf("removing leftover binding %s: %w", binding.GetName(), err)
		}
	}
	return nil
}
