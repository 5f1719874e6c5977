// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// undoTimeout bounds the removal of what a refused request had made.
const undoTimeout = 5 * time.Second

// undo takes back what a refused call has made, bindings first and the
// ServiceAccount last. What it can't take back now, clearLeftovers finds before
// the name is used again.
func (w *worker) undo(ctx context.Context, account *corev1.ServiceAccount) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	rbac, core := w.client.RbacV1(), w.client.CoreV1()
	var errs []error
	for _, role := range w.clusterRoles {
		errs = append(errs,
			removeOwned(ctx, w.entitlement, rbac.ClusterRoleBindings(), w.bindingName(role.Name)),
			removeOwned(ctx, w.entitlement, rbac.ClusterRoles(), w.bindingName(role.Name)))
	}
	for _, role := range w.roles {
		errs = append(errs,
			removeOwned(ctx, w.entitlement, rbac.RoleBindings(role.Namespace), w.bindingName(role.Name)),
			removeOwned(ctx, w.entitlement, rbac.Roles(role.Namespace), w.bindingName(role.Name)))
	}
	errs = append(errs,
		removeOwned(ctx, w.entitlement, core.Secrets(account.Namespace), w.secretName()),
		deleteExactly(ctx, account, core.ServiceAccounts(account.Namespace).Delete))
	if err := errors.Join(errs...); err != nil {
		klog.FromContext(ctx).Error(err, "Could not take back all that a refused request had made", "cluster", w.cluster, "serviceAccount", w.serviceAccount)
	}
}

// clearLeftovers removes bindings that an earlier entitlement of this hub left
// for a ServiceAccount of the same name, which somebody has deleted on the member:
// a binding names its subject, and would lend the new account the old one's rights.
func (w *worker) clearLeftovers(ctx context.Context) error {
	selector := metav1.ListOptions{LabelSelector: LabelManagedBy + "=" + ManagedBy}
	rbac := w.client.RbacV1()
	clusterBindings, err := rbac.ClusterRoleBindings().List(ctx, selector)
	if err != nil {
		return fmt.Errorf("bindings left over: %w", err)
	}
	for i := range clusterBindings.Items {
		b := &clusterBindings.Items[i]
		if err := w.clearLeftover(ctx, b, b.Subjects, rbac.ClusterRoleBindings().Delete); err != nil {
			return err
		}
	}
	bindings, err := rbac.RoleBindings(metav1.NamespaceAll).List(ctx, selector)
	if err != nil {
		return fmt.Errorf("bindings left over: %w", err)
	}
	for i := range bindings.Items {
		b := &bindings.Items[i]
		if err := w.clearLeftover(ctx, b, b.Subjects, rbac.RoleBindings(b.Namespace).Delete); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) clearLeftover(ctx context.Context, binding metav1.Object, subjects []rbacv1.Subject, remove deleteFunc) error {
	if w.owns(binding) || !slices.Contains(subjects, w.subjects()[0]) {
		return nil
	}
	if binding.GetLabels()[LabelHubID] != w.hubID {
		return w.conflict("another hub's binding %q is for a ServiceAccount %s; choose another name", binding.GetName(), w.serviceAccount)
	}
	klog.FromContext(ctx).Info("Removing a binding left over from a deleted ServiceAccount", "cluster", w.cluster, "binding", binding.GetName(), "serviceAccount", w.serviceAccount)
	if err := deleteExactly(ctx, binding, remove); err != nil {
		return fmt.Errorf("binding %s left over: %w", binding.GetName(), err)
	}
	return nil
}
