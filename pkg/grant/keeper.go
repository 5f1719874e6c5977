// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
)

var (
	authTokenRequests    = multiclusterv1alpha1.Resource("authtokenrequests")
	authTokenRequestKind = multiclusterv1alpha1.Kind("AuthTokenRequest")
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
	// AuditID is the ID of the hub's request that new objects are annotated with. If empty, there
	// is no annotation.
	AuditID string
	// Clock times the wait of Ensure between the end of old tokens and new rights.
	Clock clock.Clock
}

// NewKeeper returns the Keeper of g for the hub with that ID. client acts as clusterpass on the
// member.
func NewKeeper(hubID string, g *v1alpha1.AuthTokenGrant, client kubernetes.Interface, clock clock.Clock) *Keeper {
	return &Keeper{HubID: hubID, Grant: g, Client: client, Clock: clock}
}

// RefusedError is a refusal by clusterpass, and not by the member.
type RefusedError struct {
	// Status is the answer to the requester.
	Status *apierrors.StatusError
}

func (r *RefusedError) Error() string { return r.Status.Error() }

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
	return &RefusedError{apierrors.NewConflict(authTokenRequests, k.Grant.Spec.ServiceAccount.Name,
		fmt.Errorf("cluster %s: %s", Cluster(k.Grant), fmt.Sprintf(format, args...)))}
}

// meta returns the metadata of an object of the grant.
func (k *Keeper) meta(namespace, name string) metav1.ObjectMeta {
	m := metav1.ObjectMeta{
		Namespace: namespace,
		Name:      name,
		Labels: map[string]string{
			LabelHubID:     k.HubID,
			LabelGrantUID:  string(k.Grant.UID),
			LabelManagedBy: ManagedBy,
		},
		Annotations: map[string]string{
			AnnotationGrant:          k.Grant.Namespace + "/" + k.Grant.Name,
			AnnotationClusterProfile: Cluster(k.Grant).String(),
		},
	}
	if k.AuditID != "" {
		m.Annotations[AnnotationAuditID] = k.AuditID
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
	return NewOtherMember(g.Name, fmt.Sprintf("ClusterProfile %s leads to another cluster than the one that has the grant: "+
		"the UID of its namespace kube-system is %s, and that of the grant's cluster is %s. Nothing was made or removed there. "+
		"Have the ClusterProfile lead to the grant's cluster again, or, if that is gone for ever, delete the grant and annotate it with %s=true",
		Cluster(g), uid, g.Status.MemberUID, v1alpha1.AnnotationAbandonMember))
}

// NewOtherMember returns the error of CheckMember for the grant of that name.
func NewOtherMember(name, message string) *apierrors.StatusError {
	err := apierrors.NewConflict(v1alpha1.Resource("authtokengrants"), name, errors.New(message))
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: member.CauseIdentity, Message: message}}
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
