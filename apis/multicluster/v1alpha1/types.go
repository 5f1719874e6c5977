// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Bounds of an AuthTokenRequest.
const (
	// DefaultExpirationSeconds is the lifetime of a token when the request names none.
	DefaultExpirationSeconds int64 = 3600
	// MinExpirationSeconds is the shortest lifetime that can be asked for; it is
	// the minimum of the TokenRequest API of the member's kube-apiserver.
	MinExpirationSeconds int64 = 600
	// MaxExpirationSeconds is the longest lifetime that can be asked for; it is the
	// maximum of the TokenRequest API of the member's kube-apiserver.
	MaxExpirationSeconds int64 = 1 << 32
	// MaxRoles bounds clusterRoles and roles, each.
	MaxRoles = 20
	// MaxAudiences bounds audiences.
	MaxAudiences = 20
)

// Types of the conditions in an AuthTokenRequest's status.
const (
	// ConditionServiceAccountReady says that the ServiceAccount is there.
	ConditionServiceAccountReady = "ServiceAccountFoundOrCreated"
	// ConditionRolesReady says that the Roles are there and bound.
	ConditionRolesReady = "RoleFoundOrCreated"
	// ConditionClusterRolesReady says that the ClusterRoles are there and bound.
	ConditionClusterRolesReady = "ClusterRoleFoundOrCreated"
	// ConditionTokenRetrieved says that the member issued the token.
	ConditionTokenRetrieved = "ServiceAccountTokenRetrieved"
)

// Reasons of the conditions in an AuthTokenRequest's status.
const (
	// ReasonReady stands with status True: it is there.
	ReasonReady = "Ready"
	// ReasonNotRequested stands with status True: the request names nothing of this kind.
	ReasonNotRequested = "NotRequested"
	// ReasonIssued stands with status True: the member issued the token.
	ReasonIssued = "Issued"
	// ReasonDryRun stands with status Unknown: the request was a dry run, so
	// the member was not asked; the message says what would be done.
	ReasonDryRun = "DryRun"
)

// +genclient
// +genclient:onlyVerbs=create
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenRequest asks for a short-lived token of a ServiceAccount on a member
// cluster, with the roles named. It is answered in the call that creates it and
// is never stored: metadata.name may be anything, generateName, or empty.
type AuthTokenRequest struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. Nothing is stored under the name.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which cluster, which ServiceAccount and which rights.
	Spec AuthTokenRequestSpec `json:"spec"`
	// Status is the answer. It is filled in by the server; what a client sends is dropped.
	// +optional
	Status AuthTokenRequestStatus `json:"status,omitempty"`
}

// AuthTokenRequestSpec says which cluster, which ServiceAccount and which rights.
type AuthTokenRequestSpec struct {
	// TargetClusterProfile names the ClusterProfile of the member cluster. The
	// subresource clusterprofiles/token fills it in from its URL.
	TargetClusterProfile ClusterProfileReference `json:"targetClusterProfile"`

	// ServiceAccountName is the name of the ServiceAccount on the member cluster. It is created
	// if it is missing; one that exists and was not made for the same request is refused.
	ServiceAccountName string `json:"serviceAccountName"`

	// ServiceAccountNamespace is the namespace of the ServiceAccount on the member cluster.
	ServiceAccountNamespace string `json:"serviceAccountNamespace"`

	// ClusterRoles are the ClusterRoles that the ServiceAccount is bound to in the whole
	// member cluster. At most 20.
	// +optional
	// +listType=map
	// +listMapKey=name
	ClusterRoles []ClusterRole `json:"clusterRoles,omitempty"`

	// Roles are the Roles that the ServiceAccount is bound to, each in its namespace of the
	// member cluster. At most 20.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	Roles []Role `json:"roles,omitempty"`

	// Audiences are the intended audiences of the token. Empty means the default
	// audience of the member's API server. At most 20.
	// +optional
	// +listType=set
	Audiences []string `json:"audiences,omitempty"`

	// ExpirationSeconds is the lifetime asked for, in seconds: 3600 by default, at least 600.
	// A server maximum applies; a longer request is granted that maximum, with a warning.
	// +optional
	ExpirationSeconds *int64 `json:"expirationSeconds,omitempty"`
}

// ClusterProfileReference names a ClusterProfile of the hub.
type ClusterProfileReference struct {
	// APIGroup is the API group of ClusterProfile, multicluster.x-k8s.io, with or without its
	// version. It is the default, too.
	// +optional
	APIGroup string `json:"apiGroup,omitempty"`
	// Kind is ClusterProfile. It is the default, too.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name is the name of the ClusterProfile.
	Name string `json:"name"`
	// Namespace is the namespace of the ClusterProfile; by default that of the request.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// UID, where given, must be the ClusterProfile's: a cluster that has been replaced under
	// its old name is then refused with 409 (Conflict).
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// ClusterRole is a ClusterRole of the member cluster, an existing one or one made for this request.
type ClusterRole struct {
	// Name of the ClusterRole. With rules it only tells this role from the others of the request.
	Name string `json:"name"`
	// Rules, where given, are the rules of a ClusterRole made for this request; without them
	// the existing ClusterRole of that name is bound.
	// +optional
	// +listType=atomic
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// Role is a Role of the member cluster, an existing one or one made for this request.
type Role struct {
	// Namespace of the Role on the member cluster.
	Namespace string `json:"namespace"`
	// Name of the Role. With rules it only tells this role from the others of the request.
	Name string `json:"name"`
	// Rules, where given, are the rules of a Role made for this request; without them the
	// existing Role of that name is bound.
	// +optional
	// +listType=atomic
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// AuthTokenRequestStatus is the answer to an AuthTokenRequest.
type AuthTokenRequestStatus struct {
	// Token is the bearer token for the member cluster. It is in this answer and nowhere else.
	// +optional
	Token string `json:"token,omitempty"`
	// ExpirationTimestamp is when the token expires, by the member's clock.
	// +optional
	ExpirationTimestamp *metav1.Time `json:"expirationTimestamp,omitempty"`
	// RefreshAfter is when to ask for the next token: at 80 % of the granted lifetime.
	// +optional
	RefreshAfter *metav1.Time `json:"refreshAfter,omitempty"`
	// Cluster says how to reach the member cluster.
	// +optional
	Cluster *Cluster `json:"cluster,omitempty"`
	// Kubeconfig is a complete kubeconfig file with the token in it, ready to use.
	// +optional
	// +listType=atomic
	Kubeconfig []byte `json:"kubeconfig,omitempty"`
	// GrantName is the name of the AuthTokenGrant that records this request, in the namespace of the request.
	// +optional
	GrantName string `json:"grantName,omitempty"`
	// Conditions say what was found or created on the member cluster.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Cluster says how to reach a member cluster. Its fields are those of a kubeconfig's cluster.
type Cluster struct {
	// Server is the URL of the member's API server.
	Server string `json:"server"`
	// CertificateAuthorityData holds the PEM-encoded certificates that the server's certificate is verified by.
	// +optional
	// +listType=atomic
	CertificateAuthorityData []byte `json:"certificate-authority-data,omitempty"`
	// TLSServerName is the name that the server's certificate is verified for, where it is not the host of the URL.
	// +optional
	TLSServerName string `json:"tls-server-name,omitempty"`
	// ProxyURL is the URL of the proxy to reach the server through.
	// +optional
	ProxyURL string `json:"proxy-url,omitempty"`
}
