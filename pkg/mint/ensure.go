// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// parallelRoles bounds the roles of one request that are seen to at once.
const parallelRoles = 4

var (
	authTokenRequests    = v1alpha1.Resource("authtokenrequests")
	authTokenRequestKind = v1alpha1.Kind("AuthTokenRequest")
)

// refusal is an error of ours, met in the middle of calls to a member.
type refusal struct {
	status *apierrors.StatusError
}

func (r *refusal) Error() string { return r.status.Error() }

// conflict refuses to touch an object on the member that is not the entitlement's.
func (e *entitlement) conflict(format string, args ...any) error {
	return &refusal{apierrors.NewConflict(authTokenRequests, e.serviceAccount.Name,
		fmt.Errorf("cluster %s: %s", e.cluster, fmt.Sprintf(format, args...)))}
}

// prepared is what a token is issued for, as it was last seen on the member.
// Whatever has taken its place since gets no token.
type prepared struct {
	// serviceAccount is the UID of the ServiceAccount.
	serviceAccount types.UID
	// secret is the UID of the Secret that tokens are bound to: deleting it ends all of them.
	secret types.UID
}

// worker brings an entitlement about on its member.
type worker struct {
	*entitlement
	client kubernetes.Interface
	probes probes
}

// ensure makes the member have everything that e names. It returns what tokens are
// issued for, and what one can be probed for. What is there already is checked and
// kept. The ServiceAccount comes first: whoever creates it decides whose it is.
// When the member refuses the rest, what this call has made is taken back, or the
// name would stay taken.
func (m *Minter) ensure(ctx context.Context, c *member.Client, e *entitlement) (prepared, *probes, error) {
	defer observePhase(phaseEnsure, m.Clock, m.Clock.Now())
	w := &worker{entitlement: e, client: c.Kubernetes()}
	account, created, err := w.serviceAccountReady(ctx)
	if err != nil {
		return prepared{}, nil, err
	}
	secret, err := w.restReady(ctx)
	if err != nil {
		if created && isRefused(err) {
			w.undo(ctx, account)
		}
		return prepared{}, nil, err
	}
	return prepared{serviceAccount: account.UID, secret: secret.UID}, &w.probes, nil
}

// serviceAccountReady returns the ServiceAccount, and whether this call created it.
// One that is not the entitlement's is a conflict: else a request would inherit
// whatever rights that account holds.
func (w *worker) serviceAccountReady(ctx context.Context) (account *corev1.ServiceAccount, created bool, err error) {
	accounts := w.client.CoreV1().ServiceAccounts(w.serviceAccount.Namespace)
	account, err = accounts.Get(ctx, w.serviceAccount.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		account, err = w.createServiceAccount(ctx)
		if err == nil {
			return account, true, nil
		}
		if apierrors.IsAlreadyExists(err) {
			account, err = accounts.Get(ctx, w.serviceAccount.Name, metav1.GetOptions{})
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("service account: %w", err)
	}
	switch {
	case account.Labels[LabelManagedBy] != ManagedBy:
		return nil, false, w.conflict("ServiceAccount %s exists and was not made by clusterpass; choose another name", w.serviceAccount)
	case !w.owns(account) || account.Annotations[AnnotationEntitlement] != w.id:
		return nil, false, w.conflict("ServiceAccount %s was made for a request with other roles or audiences, from another namespace, or for another ClusterProfile; choose another name, or ask for the same", w.serviceAccount)
	case account.DeletionTimestamp != nil:
		return nil, false, w.conflict("ServiceAccount %s is being deleted; try again", w.serviceAccount)
	}
	return account, false, nil
}

// createServiceAccount creates the ServiceAccount, after making sure that no
// binding waits for one of its name.
func (w *worker) createServiceAccount(ctx context.Context) (created *corev1.ServiceAccount, err error) {
	account := &corev1.ServiceAccount{ObjectMeta: w.meta(w.serviceAccount.Namespace, w.serviceAccount.Name)}
	account.Annotations[AnnotationEntitlement] = w.id
	if err := w.clearLeftovers(ctx); err != nil {
		return nil, err
	}
	err = w.inNamespace(ctx, account.Namespace, func() error {
		created, err = w.client.CoreV1().ServiceAccounts(account.Namespace).Create(ctx, account, metav1.CreateOptions{})
		return err
	})
	return created, err
}

// inNamespace does something in a namespace of the member, after creating the
// namespace where it was found missing. It is never deleted, and it may soon hold
// what is not ours: it carries no label of an entitlement.
func (w *worker) inNamespace(ctx context.Context, name string, do func() error) error {
	err := do()
	if !isNamespaceMissing(err) {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelManagedBy: ManagedBy}}}
	_, err = w.client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s is missing: %w", name, err)
	}
	return do()
}

// restReady sees to everything but the ServiceAccount. It returns the Secret.
func (w *worker) restReady(ctx context.Context) (*corev1.Secret, error) {
	var secret *corev1.Secret
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelRoles)
	group.Go(func() (err error) {
		secret, err = w.secretReady(ctx)
		return err
	})
	for _, role := range w.clusterRoles {
		group.Go(func() error { return w.clusterRoleReady(ctx, role) })
	}
	for _, role := range w.roles {
		group.Go(func() error { return w.roleReady(ctx, role) })
	}
	err := group.Wait()
	return secret, err
}

func (w *worker) secretReady(ctx context.Context) (*corev1.Secret, error) {
	want := &corev1.Secret{ObjectMeta: w.meta(w.serviceAccount.Namespace, w.secretName()), Type: SecretType}
	secret, err := ownedReady(ctx, w.entitlement, w.client.CoreV1().Secrets(want.Namespace), want,
		func(*corev1.Secret) repair { return keep })
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return secret, nil
}

// isNamespaceMissing tells a missing namespace from a missing object.
func isNamespaceMissing(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// isRefused says whether trying again can't help: the member, or we, have said no. A
// conflict on the member is no such thing: another request for the same came first.
func isRefused(err error) bool {
	var ours *refusal
	return errors.As(err, &ours) || apierrors.IsForbidden(err) || apierrors.IsInvalid(err)
}

// isGone says whether a token could not be issued because what it is issued for
// or bound to is not, or no longer, on the member.
func isGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err)
}
