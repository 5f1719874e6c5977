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

// RefusedError says that clusterpass, and not the member, has refused a request.
type RefusedError struct {
	// Status is the answer to the requester.
	Status *apierrors.StatusError
}

func (r *RefusedError) Error() string { return r.Status.Error() }

// MemberError returns the error for the requester after a call to a member has failed: the Status
// of a *RefusedError, and for other errors that of client.Error. It returns nil for nil.
func MemberError(client *member.Client, err error, doing string) error {
	if ours, ok := errors.AsType[*RefusedError](err); ok {
		return ours.Status
	}
	return client.Error(err, doing)
}

// IsRefused returns whether a retry cannot help, because the member or clusterpass has refused. A
// conflict on the member is no refusal, because an equal request may have caused it. An exceeded
// quota is no refusal, because it may be raised. A namespace that is being deleted is no refusal,
// because it may be created again.
func IsRefused(err error) bool {
	var ours *RefusedError
	denied, retryable := member.IsDenied(err)
	return errors.As(err, &ours) || denied && !retryable || !denied && (apierrors.IsForbidden(err) || apierrors.IsInvalid(err))
}

// refuse returns a *RefusedError with 409 and the name of the cluster.
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

// isOfHub returns whether clusterpass has created an object on the member for this hub.
func (k *Keeper) isOfHub(object metav1.Object) bool {
	labels := object.GetLabels()
	return labels[LabelManagedBy] == ManagedBy && labels[LabelHubID] == k.HubID
}

// subjects returns the ServiceAccount as the subject of a binding.
func (k *Keeper) subjects() []rbacv1.Subject {
	account := k.Grant.Spec.ServiceAccount
	return []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: account.Namespace, Name: account.Name}}
}

// CheckMember returns 409 with member.CauseIdentity, a metav1.Status error, if the objects of g are
// on another cluster than the one with the UID. It returns nil if either UID is unknown.
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

// NewConflict returns 409 about an object, with a cause that programs can recognise.
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

// parallelRoles bounds how many roles of one grant are created or checked in parallel.
const parallelRoles = 4

// Bound identifies the ServiceAccount and the Secret of a grant's tokens, as they were last found
// on the member. Other objects that have taken their names since get no token.
type Bound struct {
	// ServiceAccount is the UID of the ServiceAccount.
	ServiceAccount types.UID
	// Secret is the UID of the Secret that tokens are bound to. All of them end when it is deleted.
	Secret types.UID
}

// Ensured is the result of Ensure.
type Ensured struct {
	Bound

	// AccessChecks are access reviews, one for each role, that a token of the grant passes once the
	// member's authoriser knows the bindings.
	AccessChecks []authorizationv1.SelfSubjectAccessReviewSpec
	// AccountFound says that the ServiceAccount existed already.
	AccountFound bool
	// Changed says that an object was missing or different, and was created or repaired.
	Changed bool
}

// ensurer has the state of one call of Ensure.
type ensurer struct {
	*Keeper
	fence   fence
	changed atomic.Bool
	// mu guards accessChecks: several roles are ensured at once.
	mu           sync.Mutex
	accessChecks []authorizationv1.SelfSubjectAccessReviewSpec
}

// Ensure creates the objects that the grant names, and removes those of earlier generations. It
// repairs objects that differ. The ServiceAccount comes first, because it decides which grant has
// the name. The Secret comes before the roles: a Secret of an earlier generation is replaced, which
// ends the earlier tokens before the ServiceAccount gets more rights.
//
// If an object with one of these names is not the grant's, Ensure returns a *RefusedError and does
// not change the object.
func (k *Keeper) Ensure(ctx context.Context) (*Ensured, error) {
	e := &ensurer{Keeper: k, fence: newFence(k.Clock, k.Grant)}
	account, created, err := e.ensureServiceAccount(ctx)
	if err != nil {
		return nil, err
	}
	secret, err := e.ensureSecret(ctx, account)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	if err := k.Remove(ctx, Without(k.Grant.Status.MemberObjects, Objects(k.Grant))); err != nil {
		return nil, fmt.Errorf("what the grant no longer names: %w", err)
	}
	if err := e.eachRole(ctx, e.ensureRole); err != nil {
		return nil, err
	}
	return &Ensured{Bound: Bound{ServiceAccount: account.UID, Secret: secret.UID}, AccessChecks: e.accessChecks, AccountFound: !created,
		Changed: created || e.changed.Load()}, nil
}

// CheckAccount returns a *RefusedError if the ServiceAccount exists and is not the grant's, or if
// it is missing and a binding that is not this hub's names it. Otherwise a request would get the
// rights that others have given to that ServiceAccount.
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
	return k.checkAccountOwner(found)
}

// checkAccountOwner returns a *RefusedError if the ServiceAccount is not the grant's, or is being
// deleted.
func (k *Keeper) checkAccountOwner(account *corev1.ServiceAccount) error {
	switch {
	case account.Labels[LabelManagedBy] != ManagedBy:
		return k.refuse("ServiceAccount %s exists and was not made by clusterpass; choose another name", Account(k.Grant))
	case !k.owns(account):
		return k.refuse("ServiceAccount %s belongs to another grant: of another namespace or another hub, for another ClusterProfile, "+
			"or one that is being revoked; choose another serviceAccountName", Account(k.Grant))
	case account.DeletionTimestamp != nil:
		return k.refuse("ServiceAccount %s is being deleted; try again", Account(k.Grant))
	}
	return nil
}

// ensureServiceAccount returns the ServiceAccount, and whether it was missing and has been created.
// Before it creates one, it removes this hub's leftover bindings that name it. For a binding that
// is not this hub's, it returns a *RefusedError.
func (e *ensurer) ensureServiceAccount(ctx context.Context) (account *corev1.ServiceAccount, created bool, err error) {
	want := &corev1.ServiceAccount{ObjectMeta: e.meta(e.Grant.Spec.ServiceAccount.Namespace, e.Grant.Spec.ServiceAccount.Name)}
	accounts := e.Client.CoreV1().ServiceAccounts(want.Namespace)
	account, created, err = foundOrCreated(ctx, accounts, want.Name, func() (account *corev1.ServiceAccount, err error) {
		if err := e.clearLeftovers(ctx); err != nil {
			return nil, err
		}
		err = e.inNamespace(ctx, want.Namespace, func() error {
			account, err = accounts.Create(ctx, want, metav1.CreateOptions{})
			return err
		})
		return account, err
	})
	if err != nil {
		return nil, false, fmt.Errorf("service account: %w", err)
	}
	return account, created, e.checkAccountOwner(account)
}

// inNamespace calls do, which creates an object in a namespace of the member. If the namespace is
// missing, inNamespace creates it and calls do again. The namespace has no label of a grant, and is
// never deleted, because others may use it.
func (e *ensurer) inNamespace(ctx context.Context, name string, do func() error) error {
	err := do()
	if !isNamespaceMissing(err) {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{LabelManagedBy: ManagedBy}}}
	_, err = e.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s is missing: %w", name, err)
	}
	return do()
}

// ensureSecret returns the Secret of this generation of the grant. It replaces a Secret of an
// earlier generation, and returns a *RefusedError for one of a later generation. The ServiceAccount
// owns the Secret, so that the member's garbage collector deletes the Secret with it.
func (e *ensurer) ensureSecret(ctx context.Context, account *corev1.ServiceAccount) (*corev1.Secret, error) {
	want := &corev1.Secret{ObjectMeta: e.meta(e.Grant.Spec.ServiceAccount.Namespace, SecretName(e.Grant.UID)), Type: SecretType}
	want.Annotations[AnnotationGeneration] = strconv.FormatInt(e.Grant.Generation, 10)
	want.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: kindServiceAccount, Name: account.Name, UID: account.UID}}
	secret, err := ensureOwned(ctx, e, e.Client.CoreV1().Secrets(want.Namespace), want, func(found *corev1.Secret) (repair, error) {
		generation, err := strconv.ParseInt(found.Annotations[AnnotationGeneration], 10, 64)
		if err != nil {
			generation = 0 // the annotation is missing or invalid: replace the Secret
		}
		switch {
		case generation > e.Grant.Generation:
			return keep, e.refuse("grant %s has been changed meanwhile; try again", e.Grant.Name)
		case generation < e.Grant.Generation, !slices.Contains(found.OwnerReferences, want.OwnerReferences[0]):
			// More owners are no reason to end the tokens.
			return replace, nil
		default:
			return keep, nil
		}
	})
	e.fence.secretSeen()
	return secret, err
}

// isNamespaceMissing returns whether err is a 404 for the namespace, and not for an object in it.
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
