// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// EnsuredMessage is the message of a grant's condition Ready when it is true.
const EnsuredMessage = "the member cluster has all that the grant names"

// Keeper creates, repairs and removes the objects of one grant on its member cluster.
type Keeper struct {
	// HubID distinguishes this hub from others that use the same member clusters.
	HubID string
	// Grant is the grant. Keeper does not change it.
	Grant *v1alpha1.AuthTokenGrant
	// Client acts as clusterpass on the member.
	Client kubernetes.Interface
	// AuditID is the ID of the hub's request that new objects are annotated with. If it is empty or
	// no UUID, there is no annotation.
	AuditID string
	// Clock times the wait of Ensure between the end of old tokens and new rights.
	Clock clock.Clock
}

// RefusedError is a refusal by clusterpass, and not by the member.
type RefusedError struct {
	// Status is the answer to the requester.
	Status *apierrors.StatusError
}

func (r *RefusedError) Error() string { return r.Status.Error() }

// MemberError returns the error for the requester of a call to a member: a refusal of ours as it
// is, and any other by client.Error. It returns nil for nil.
func MemberError(client *member.Client, err error, doing string) error {
	if ours, ok := errors.AsType[*RefusedError](err); ok {
		return ours.Status
	}
	return client.Error(err, doing)
}

// IsRefused returns whether a retry cannot help, because the member or clusterpass has refused. A
// conflict on the member is no refusal: another request for the same was faster. Neither is an
// exceeded quota, which may be raised, nor a namespace that is being deleted, which may be created
// again.
func IsRefused(err error) bool {
	var ours *RefusedError
	denied, retryable := member.IsDenied(err)
	return errors.As(err, &ours) || denied && !retryable || !denied && (apierrors.IsForbidden(err) || apierrors.IsInvalid(err))
}

// refuse returns a *RefusedError for an object on the member that is not the grant's.
func (k *Keeper) refuse(format string, args ...any) error {
	return &RefusedError{apierrors.NewConflict(multiclusterv1alpha1.Resource("authtokenrequests"), k.Grant.Spec.ServiceAccount.Name,
		fmt.Errorf("cluster %s: %s", Cluster(k.Grant), fmt.Sprintf(format, args...)))}
}

// meta returns the metadata of an object of the grant.
func (k *Keeper) meta(namespace, name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: namespace,
		Name:      name,
		Labels:    map[string]string{LabelHubID: k.HubID, LabelGrantUID: string(k.Grant.UID), LabelManagedBy: ManagedBy},
		Annotations: map[string]string{
			AnnotationGrant: k.Grant.Namespace + "/" + k.Grant.Name, AnnotationClusterProfile: Cluster(k.Grant).String(),
		},
	}
	if id := validAuditID(k.AuditID); id != "" {
		m.Annotations[AnnotationAuditID] = id
	}
	return m
}

// owns returns whether an object on the member belongs to the grant. A grant that is not stored yet
// has no UID and owns nothing.
func (k *Keeper) owns(object metav1.Object) bool {
	return k.Grant.UID != "" && object.GetLabels()[LabelGrantUID] == string(k.Grant.UID) && k.isOfHub(object)
}

// isOfHub returns whether clusterpass made an object on the member for this hub.
func (k *Keeper) isOfHub(object metav1.Object) bool {
	labels := object.GetLabels()
	return labels[LabelManagedBy] == ManagedBy && labels[LabelHubID] == k.HubID
}

// subjects returns the ServiceAccount as the subject of a binding.
func (k *Keeper) subjects() []rbacv1.Subject {
	account := k.Grant.Spec.ServiceAccount
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}}
}

// CheckMember returns a metav1.Status error, 409 with member.CauseIdentity, if g is on another
// cluster than the one with the UID. It returns nil if either UID is unknown.
func CheckMember(g *v1alpha1.AuthTokenGrant, uid types.UID) error {
	if g.Status.MemberUID == "" || uid == "" || g.Status.MemberUID == uid {
		return nil
	}
	return NewConflict(v1alpha1.Resource("authtokengrants"), g.Name, member.CauseIdentity, fmt.Sprintf(
		"ClusterProfile %s leads to another cluster than the one that has the grant: "+
			"the UID of its namespace kube-system is %s, and that of the grant's cluster is %s. Nothing was made or removed there. "+
			"Have the ClusterProfile lead to the grant's cluster again, or, if that is gone for ever, delete the grant and annotate it with %s=true",
		Cluster(g), uid, g.Status.MemberUID, v1alpha1.AnnotationAbandonMember))
}

// NewConflict returns 409 about an object, with a cause that programs can tell.
func NewConflict(resource schema.GroupResource, name string, cause metav1.CauseType, message string) *apierrors.StatusError {
	err := apierrors.NewConflict(resource, name, errors.New(message))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: cause, Message: message}}
	return err
}

// CheckMemberOf is CheckMember for the cluster that client reaches. It asks that cluster for its
// UID only if g has one. Other errors are those of member.Client.MemberUID.
func CheckMemberOf(ctx context.Context, g *v1alpha1.AuthTokenGrant, client *member.Client) error {
	if g.Status.MemberUID == "" {
		return nil
	}
	uid, err := client.MemberUID(ctx)
	if err != nil {
		return err
	}
	return CheckMember(g, uid)
}

// parallelRoles bounds how many roles of one grant are made or checked at once.
const parallelRoles = 4

// Bound is what tokens of a grant are issued for and bound to, as it was last seen on the
// member. Whatever has taken its place since gets no token.
type Bound struct {
	// ServiceAccount is the UID of the ServiceAccount.
	ServiceAccount types.UID
	// Secret is the UID of the Secret that tokens are bound to: deleting it ends all of them.
	Secret types.UID
}

// Ensured is what Ensure has found or made.
type Ensured struct {
	Bound

	// Probes are access reviews, one for each role, that a token of the grant passes once the
	// member's authoriser knows the bindings.
	Probes []authorizationv1.SelfSubjectAccessReviewSpec
	// AccountFound says that the ServiceAccount was there already.
	AccountFound bool
	// Changed says whether the member lacked anything, or had it otherwise.
	Changed bool
}

// worker is one call of Ensure.
type worker struct {
	*Keeper
	fence   fence
	changed atomic.Bool
	// mu guards probes: several roles are ensured at once.
	mu     sync.Mutex
	probes []authorizationv1.SelfSubjectAccessReviewSpec
}

// Ensure makes the member have all that the grant names, and nothing that only an
// earlier generation of it named. What is there already is checked and kept. The
// ServiceAccount comes first: whoever creates it decides whose it is. Then the
// Secret of this generation takes the place of an earlier one, which ends the
// tokens of that, before any right is added.
//
// An object of one of these names that is not the grant's is a *RefusedError, and is not touched.
func (k *Keeper) Ensure(ctx context.Context) (*Ensured, error) {
	w := &worker{Keeper: k, fence: newFence(k.Clock, k.Grant)}
	account, created, err := w.ensureServiceAccount(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := w.ensureSecret(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if err := k.Remove(ctx, Without(k.Grant.Status.MemberObjects, Objects(k.Grant))); err != nil {
		return nil, fmt.Errorf("what the grant no longer names: %w", err)
	}
	if err := w.eachRole(ctx, w.ensureRole); err != nil {
		return nil, err
	}
	return &Ensured{Bound: Bound{ServiceAccount: account.UID, Secret: secret.UID}, Probes: w.probes, AccountFound: !created,
		Changed: created || w.changed.Load()}, nil
}

// CheckAccount returns a *RefusedError where the ServiceAccount exists and is not the
// grant's, or does not and has bindings waiting for it that are not this hub's: else
// a request would inherit whatever rights that account holds.
func (k *Keeper) CheckAccount(ctx context.Context) error {
	account := k.Grant.Spec.ServiceAccount
	found, err := k.Client.CoreV1().ServiceAccounts(account.Namespace).Get(ctx, account.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err := k.leftovers(ctx)
		return err
	}
	if err != nil {
		return fmt.Errorf("service account: %w", err)
	}
	return k.checkAccount(found)
}

func (k *Keeper) checkAccount(account *corev1.ServiceAccount) error {
	switch {
	case account.Labels[LabelManagedBy] != ManagedBy:
		return k.refuse("ServiceAccount %s exists and was not made by clusterpass; choose another name", Account(k.Grant))
	case !k.owns(account):
		return k.refuse("ServiceAccount %s belongs to another grant: "+
			"of another namespace or another hub, for another ClusterProfile, or one that is being revoked; choose another name", Account(k.Grant))
	case account.DeletionTimestamp != nil:
		return k.refuse("ServiceAccount %s is being deleted; try again", Account(k.Grant))
	}
	return nil
}

// ensureServiceAccount returns the ServiceAccount, and whether it was missing and has been created.
// It creates none while a binding waits for one of its name.
func (w *worker) ensureServiceAccount(ctx context.Context) (account *corev1.ServiceAccount, created bool, err error) {
	want := &corev1.ServiceAccount{ObjectMeta: w.meta(w.Grant.Spec.ServiceAccount.Namespace, w.Grant.Spec.ServiceAccount.Name)}
	accounts := w.Client.CoreV1().ServiceAccounts(want.Namespace)
	account, created, err = foundOrCreated(ctx, accounts, want.Name, func() (account *corev1.ServiceAccount, err error) {
		if err := w.clearLeftovers(ctx); err != nil {
			return nil, err
		}
		err = w.inNamespace(ctx, want.Namespace, func() error {
			account, err = accounts.Create(ctx, want, metav1.CreateOptions{})
			return err
		})
		return account, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("service account: %w", err)
	}
	return account, created, w.checkAccount(account)
}

// inNamespace does something in a namespace of the member, after creating the
// namespace where it was found missing. It is never deleted, and it may soon hold
// what is not ours: it carries no label of a grant.
func (w *worker) inNamespace(ctx context.Context, name string, do func() error) error {
	err := do()
	if !isNamespaceMissing(err) {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelManagedBy: ManagedBy}}}
	_, err = w.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s is missing: %w", name, err)
	}
	return do()
}

// ensureSecret returns the Secret of this generation of the grant. One of an earlier
// generation is replaced; one of a later tells that we are late. The ServiceAccount owns it, so
// that the member's garbage collector leaves no Secret without an account.
func (w *worker) ensureSecret(ctx context.Context, account *corev1.ServiceAccount) (*corev1.Secret, error) {
	want := &corev1.Secret{ObjectMeta: w.meta(w.Grant.Spec.ServiceAccount.Namespace, SecretName(w.Grant.UID)), Type: SecretType}
	want.Annotations[AnnotationGeneration] = strconv.FormatInt(w.Grant.Generation, 10)
	want.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: kindServiceAccount, Name: account.Name, UID: account.UID}}
	secret, err := ensureOwned(ctx, w, w.Client.CoreV1().Secrets(want.Namespace), want, func(found *corev1.Secret) (repair, error) {
		generation, err := strconv.ParseInt(found.Annotations[AnnotationGeneration], 10, 64)
		if err != nil {
			generation = 0 // It does not say, and is replaced.
		}
		switch {
		case generation > w.Grant.Generation:
			return keep, w.refuse("grant %s has been changed meanwhile; try again", w.Grant.Name)
		case generation < w.Grant.Generation, !slices.Contains(found.OwnerReferences, want.OwnerReferences[0]):
			// Others may own it, too: that is no reason to end the tokens.
			return replace, nil
		default:
			return keep, nil
		}
	})
	w.fence.secretSeen()
	return secret, err
}

// isNamespaceMissing tells a missing namespace from a missing object.
func isNamespaceMissing(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsNotFound(err) && status.ErrStatus.Details != nil && status.ErrStatus.Details.Kind == "namespaces"
}

// LiveFunc returns a grant with a read from the hub's storage. Its error satisfies
// apierrors.IsNotFound only if there is no such grant.
type LiveFunc func(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error)

// IsCurrent returns whether now, a grant as the hub stores it, is still g: the same object with the
// same spec, and not being deleted.
func IsCurrent(now, g *v1alpha1.AuthTokenGrant) bool {
	return now.UID == g.UID && now.Generation == g.Generation && now.DeletionTimestamp == nil
}

// Confirm checks, after a call of Ensure, that the hub still stores the grant of k, and returns the
// stored grant. It prevents that a grant that was deleted or changed meanwhile comes back on the
// member. Call it unless the hub already stores that the member has the grant. If the grant was
// deleted or changed, Confirm removes from the member what Ensure has made and the stored grant
// does not name, and returns nil. Errors are those of live and of Remove.
func (k *Keeper) Confirm(ctx context.Context, live LiveFunc) (*v1alpha1.AuthTokenGrant, error) {
	now, err := live(ctx, k.Grant.Namespace, k.Grant.Name)
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return nil, err
	case err != nil || now.UID != k.Grant.UID:
		return nil, k.Remove(ctx, AllObjects(k.Grant))
	case now.DeletionTimestamp != nil:
		// While the grant is being revoked, its ServiceAccount stays, as EndRights explains.
		return nil, k.EndRights(ctx)
	case IsCurrent(now, k.Grant):
		return now, nil
	}
	return nil, k.Remove(ctx, Without(AllObjects(k.Grant), Objects(now)))
}
