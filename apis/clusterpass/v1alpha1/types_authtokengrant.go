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
	// from the member cluster what the grant owns there.
	GrantFinalizer = "clusterpass.dev/revoke"
	// AnnotationAbandonMember lets a grant that is being deleted go, where its value is "true", although its
	// member cluster can't be reached. What the grant owns there stays until the member is swept, if ever.
	AnnotationAbandonMember = "clusterpass.dev/abandon-member"
)

// Types of the conditions in an AuthTokenGrant's status.
const (
	// GrantReady says that the member cluster has all that the grant names.
	GrantReady = "Ready"
	// GrantRevoked says, while a grant is being deleted, how far that is on the member cluster.
	GrantRevoked = "Revoked"
)

// Reasons of the conditions in an AuthTokenGrant's status.
const (
	// GrantReasonEnsured stands with Ready: True: everything was found or made.
	GrantReasonEnsured = "Ensured"
	// GrantReasonPending stands with Ready: False: it is not, or not yet, known to be there.
	GrantReasonPending = "Pending"
	// GrantReasonRefused stands with Ready: False: the member cluster has refused it.
	GrantReasonRefused = "Refused"
	// GrantReasonRevoking stands with Ready: False: the grant is being deleted; Revoked says how far that is.
	GrantReasonRevoking = "Revoking"
	// GrantReasonTokensEnding stands with Revoked: False: no token has any right; the member cluster may accept
	// one for some seconds more, and the name of the ServiceAccount is kept so long.
	GrantReasonTokensEnding = "TokensEnding"
	// GrantReasonMemberFailed stands with False: the member cluster could not be reached, or did not do it.
	GrantReasonMemberFailed = "MemberFailed"
	// GrantReasonOtherMember stands with False: the ClusterProfile leads to another cluster than the one that has
	// the grant. Nothing is made or removed there.
	GrantReasonOtherMember = "OtherMember"
)

// +genclient
// +genclient:onlyVerbs=get,list,watch,update,updateStatus,patch,delete,deleteCollection,apply,applyStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenGrant records what was granted on a member cluster, to whom and until when. There is one for each
// namespace that requests come from, ClusterProfile and ServiceAccount. It is made and changed by answering
// AuthTokenRequests and holds no token. Deleting it revokes every token of it.
type AuthTokenGrant struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. The name is made of the ClusterProfile's, the ServiceAccount's and a hash.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what was granted. Only an AuthTokenRequest changes it.
	Spec AuthTokenGrantSpec `json:"spec"`
	// Status is what has come of it.
	// +optional
	Status AuthTokenGrantStatus `json:"status,omitempty"`
}

// AuthTokenGrantSpec is what was granted.
type AuthTokenGrantSpec struct {
	// ClusterProfile is the member cluster.
	ClusterProfile GrantedClusterProfile `json:"clusterProfile"`
	// ServiceAccount is whose tokens are issued. It belongs to this grant alone.
	ServiceAccount GrantedServiceAccount `json:"serviceAccount"`
	// ClusterRoles are the ClusterRoles that the ServiceAccount is bound to in the whole member cluster.
	// +optional
	// +listType=map
	// +listMapKey=name
	ClusterRoles []multiclusterv1alpha1.ClusterRole `json:"clusterRoles,omitempty"`
	// Roles are the Roles that the ServiceAccount is bound to, each in its namespace of the member cluster.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Roles []multiclusterv1alpha1.Role `json:"roles,omitempty"`
	// Audiences are the audiences of the tokens. Empty means the default audience of the member's API server.
	// +optional
	// +listType=set
	Audiences []string `json:"audiences,omitempty"`
	// Requester is who set the rest of the spec.
	Requester Requester `json:"requester"`
}

// GrantedClusterProfile names a ClusterProfile. A cluster that replaces it under its name has another UID.
type GrantedClusterProfile struct {
	// Namespace of the ClusterProfile.
	Namespace string `json:"namespace"`
	// Name of the ClusterProfile.
	Name string `json:"name"`
	// UID of the ClusterProfile.
	UID types.UID `json:"uid"`
}

// GrantedServiceAccount names a ServiceAccount of the member cluster.
type GrantedServiceAccount struct {
	// Namespace of the ServiceAccount on the member cluster.
	Namespace string `json:"namespace"`
	// Name of the ServiceAccount.
	Name string `json:"name"`
}

// Requester is a user of the hub.
type Requester struct {
	// Username of the user.
	Username string `json:"username"`
	// UID of the user, where the hub's authenticator knows one.
	// +optional
	UID string `json:"uid,omitempty"`
	// Groups that the user was in.
	// +optional
	// +listType=atomic
	Groups []string `json:"groups,omitempty"`
}

// AuthTokenGrantStatus is what has come of a grant.
type AuthTokenGrantStatus struct {
	// ObservedGeneration is the generation of the grant that the member cluster was last seen to have.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// ExpirationCeiling is a time that no token of the grant outlives. It is written before the token is
	// issued, and hours ahead, so that few tokens cost a write.
	// +optional
	ExpirationCeiling *metav1.Time `json:"expirationCeiling,omitempty"`
	// LastRequester is who got a token when the ceiling was last written. The audit log has every token.
	// +optional
	LastRequester *Requester `json:"lastRequester,omitempty"`
	// LastIssuedTime is when the ceiling was last written.
	// +optional
	LastIssuedTime *metav1.Time `json:"lastIssuedTime,omitempty"`
	// MemberObjects are the objects that the grant owns, or may own, on the member cluster. What a change of the grant adds or drops is
	// listed here before it is made; what the spec takes is owned whether it is listed or not.
	// +optional
	// +listType=atomic
	MemberObjects []MemberObject `json:"memberObjects,omitempty"`
	// AccessProvider is the entry of the ClusterProfile that the member cluster was reached by. It is how
	// the grant is revoked when the ClusterProfile is gone. There is no secret in it.
	// +optional
	AccessProvider *inventoryv1alpha1.AccessProvider `json:"accessProvider,omitempty"`
	// MemberUID is the UID of the member cluster's namespace kube-system, noted before anything was made for the
	// grant. The grant is changed and revoked on that cluster alone. It is empty where the member cluster does not
	// let clusterpass know, and for a grant of an earlier release, until that is swept.
	// +optional
	MemberUID types.UID `json:"memberUID,omitempty"`
	// RightsEndedTime is when, while the grant is being deleted, its tokens had lost their rights and the Secret
	// that they are bound to was gone.
	// +optional
	RightsEndedTime *metav1.Time `json:"rightsEndedTime,omitempty"`
	// Conditions are Ready and, while the grant is being deleted, Revoked.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MemberObject names an object of the member cluster.
type MemberObject struct {
	// Kind is ServiceAccount, Secret, Role, RoleBinding, ClusterRole or ClusterRoleBinding.
	Kind string `json:"kind"`
	// Namespace of the object; empty for ClusterRole and ClusterRoleBinding.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenGrantList is a list of AuthTokenGrants.
type AuthTokenGrantList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the grants.
	Items []AuthTokenGrant `json:"items"`
}
