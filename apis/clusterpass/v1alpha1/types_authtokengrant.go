// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// GrantFinalizer keeps a grant that is being deleted until the controller manager has removed
	// what the grant owns on the member cluster.
	GrantFinalizer = "clusterpass.dev/revoke"
	// AnnotationAbandonMember with the value "true" releases a grant that is being deleted,
	// although its member cluster cannot be reached. What the grant owns there stays until the
	// controller manager sweeps the member, if ever.
	AnnotationAbandonMember = "clusterpass.dev/abandon-member"
)

// Types of the conditions in an AuthTokenGrant's status.
const (
	// GrantReady says whether the member cluster has everything that the grant names.
	GrantReady = "Ready"
	// GrantRevoked shows, while a grant is being deleted, the progress of its revocation on the
	// member cluster.
	GrantRevoked = "Revoked"
)

// Reasons of the conditions in an AuthTokenGrant's status.
const (
	// GrantReasonEnsured is used with Ready True: everything was found or created.
	GrantReasonEnsured = "Ensured"
	// GrantReasonPending is used with Ready False: it is not known, or not yet known, that the
	// member cluster has everything.
	GrantReasonPending = "Pending"
	// GrantReasonRefused is used with Ready False: the member cluster refused the grant.
	GrantReasonRefused = "Refused"
	// GrantReasonRevoking is used with Ready False: the grant is being deleted. The condition
	// Revoked shows the progress.
	GrantReasonRevoking = "Revoking"
	// GrantReasonTokensEnding is used with Revoked False: no token has any rights. The member
	// cluster may still accept a token for some seconds; until then, the name of the ServiceAccount
	// is kept.
	GrantReasonTokensEnding = "TokensEnding"
	// GrantReasonMemberFailed is used with status False: the member cluster could not be reached,
	// or did not do what was requested.
	GrantReasonMemberFailed = "MemberFailed"
	// GrantReasonOtherMember is used with status False: the ClusterProfile leads to another cluster
	// than the one that has the grant. Nothing is created or removed there.
	GrantReasonOtherMember = "OtherMember"
)

// +genclient
// +genclient:onlyVerbs=get,list,watch,update,updateStatus,patch,delete,deleteCollection,apply,applyStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenGrant records what was granted on a member cluster, to whom and until when. There is one
// grant for each combination of request namespace, ClusterProfile and ServiceAccount. The server
// creates and changes grants when it answers AuthTokenRequests. A grant holds no token. Deleting it
// revokes all of its tokens.
type AuthTokenGrant struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. The name consists of the names of the ClusterProfile and the
	// ServiceAccount, and a hash.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what was granted. Only an AuthTokenRequest changes it.
	Spec AuthTokenGrantSpec `json:"spec"`
	// Status is the observed state.
	// +optional
	Status AuthTokenGrantStatus `json:"status,omitempty"`
}

// AuthTokenGrantSpec is what was granted.
type AuthTokenGrantSpec struct {
	// ClusterProfile identifies the member cluster.
	ClusterProfile GrantedClusterProfile `json:"clusterProfile"`
	// ServiceAccount identifies the ServiceAccount whose tokens are issued. It belongs to this
	// grant only.
	ServiceAccount GrantedServiceAccount `json:"serviceAccount"`
	// ClusterRoles are the ClusterRoles that the ServiceAccount is bound to in the whole member
	// cluster.
	// +optional
	// +listType=map
	// +listMapKey=name
	ClusterRoles []multiclusterv1alpha1.ClusterRole `json:"clusterRoles,omitempty"`
	// Roles are the Roles that the ServiceAccount is bound to, each in its namespace of the member
	// cluster.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Roles []multiclusterv1alpha1.Role `json:"roles,omitempty"`
	// Audiences are the audiences of the tokens. Empty means the default audience of the member's
	// API server.
	// +optional
	// +listType=set
	Audiences []string `json:"audiences,omitempty"`
	// Requester is the user who set the rest of the spec.
	Requester Requester `json:"requester"`
}

// GrantedClusterProfile identifies a ClusterProfile. A cluster that replaces it under the same name
// has another UID.
type GrantedClusterProfile struct {
	// Namespace is the namespace of the ClusterProfile.
	Namespace string `json:"namespace"`
	// Name is the name of the ClusterProfile.
	Name string `json:"name"`
	// UID is the UID of the ClusterProfile.
	UID types.UID `json:"uid"`
}

// GrantedServiceAccount identifies a ServiceAccount on the member cluster.
type GrantedServiceAccount struct {
	// Namespace is the namespace of the ServiceAccount on the member cluster.
	Namespace string `json:"namespace"`
	// Name is the name of the ServiceAccount.
	Name string `json:"name"`
}

// Requester is a user of the hub.
type Requester struct {
	// Username is the name of the user.
	Username string `json:"username"`
	// UID is the UID of the user, if the hub's authenticator knows one.
	// +optional
	UID string `json:"uid,omitempty"`
	// Groups are the groups that the user was in.
	// +optional
	// +listType=atomic
	Groups []string `json:"groups,omitempty"`
}

// AuthTokenGrantStatus is the observed state of an AuthTokenGrant.
type AuthTokenGrantStatus struct {
	// ObservedGeneration is the generation of the grant that was last confirmed on the member
	// cluster.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ExpirationCeiling is a time after which no token of the grant is valid. It is set before a
	// token is issued, and hours ahead, so few tokens need a write.
	// +optional
	ExpirationCeiling *metav1.Time `json:"expirationCeiling,omitempty"`
	// LastRequester is the user who got a token when expirationCeiling was last set. The audit log
	// records every token.
	// +optional
	LastRequester *Requester `json:"lastRequester,omitempty"`
	// LastIssuedTime is when expirationCeiling was last set.
	// +optional
	LastIssuedTime *metav1.Time `json:"lastIssuedTime,omitempty"`
	// MemberObjects are the objects that the grant owns, or may own, on the member cluster. Objects
	// that a change of the grant adds or drops are listed here before the change is made. Objects
	// that the spec needs are owned even if they are not listed.
	// +optional
	// +listType=atomic
	MemberObjects []MemberObject `json:"memberObjects,omitempty"`
	// AccessProvider is the entry in the status of the ClusterProfile by which the member cluster
	// was reached. It is used to revoke the grant if the ClusterProfile is gone. It contains no
	// secret.
	// +optional
	AccessProvider *inventoryv1alpha1.AccessProvider `json:"accessProvider,omitempty"`
	// MemberUID is the UID of the member cluster's namespace kube-system. It is recorded before
	// anything is created for the grant. The grant is changed and revoked only on that cluster. It
	// is empty if the member cluster does not allow clusterpass to read the UID. For a grant of an
	// earlier release, it is empty until the member is swept.
	// +optional
	MemberUID types.UID `json:"memberUID,omitempty"`
	// RightsEndedTime is the time by which the grant's tokens had lost their rights and the Secret
	// that they are bound to was gone. It is set while the grant is being deleted.
	// +optional
	RightsEndedTime *metav1.Time `json:"rightsEndedTime,omitempty"`
	// Conditions are Ready and, while the grant is being deleted, Revoked.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MemberObject identifies an object on the member cluster.
type MemberObject struct {
	// Kind is ServiceAccount, Secret, Role, RoleBinding, ClusterRole or ClusterRoleBinding.
	Kind string `json:"kind"`
	// Namespace is the namespace of the object. It is empty for ClusterRole and ClusterRoleBinding.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name is the name of the object.
	Name string `json:"name"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenGrantList is a list of AuthTokenGrants.
type AuthTokenGrantList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items is the list of AuthTokenGrants.
	Items []AuthTokenGrant `json:"items"`
}
