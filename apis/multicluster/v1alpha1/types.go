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
	// DefaultExpirationSeconds is the lifetime of a token if the request specifies none.
	DefaultExpirationSeconds int64 = 3600
	// MinExpirationSeconds is the shortest lifetime that can be requested. It is the minimum of the
	// TokenRequest API of the member's kube-apiserver.
	MinExpirationSeconds int64 = 600
	// MaxExpirationSeconds is the longest lifetime that can be requested. It is the maximum of the
	// TokenRequest API of the member's kube-apiserver.
	MaxExpirationSeconds int64 = 1 << 32
	// MaxRoles bounds clusterRoles and roles separately.
	MaxRoles = 20
	// MaxAudiences bounds audiences.
	MaxAudiences = 20
)

// Types of the conditions in an AuthTokenRequest's status.
const (
	// ConditionServiceAccountReady says that the ServiceAccount exists.
	ConditionServiceAccountReady = "ServiceAccountFoundOrCreated"
	// ConditionRolesReady says that the Roles exist and are bound.
	ConditionRolesReady = "RoleFoundOrCreated"
	// ConditionClusterRolesReady says that the ClusterRoles exist and are bound.
	ConditionClusterRolesReady = "ClusterRoleFoundOrCreated"
	// ConditionTokenRetrieved says that the member issued the token.
	ConditionTokenRetrieved = "ServiceAccountTokenRetrieved"
)

// Reasons of the conditions in an AuthTokenRequest's status.
const (
	// ReasonReady is used with status True: everything of this kind exists.
	ReasonReady = "Ready"
	// ReasonNotRequested is used with status True: the request names nothing of this kind.
	ReasonNotRequested = "NotRequested"
	// ReasonIssued is used with status True: the member issued the token.
	ReasonIssued = "Issued"
	// ReasonDryRun is used with status Unknown: the request was a dry run, so the member was not
	// asked. The message says what would be done.
	ReasonDryRun = "DryRun"
)

// +genclient
// +genclient:onlyVerbs=create
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// AuthTokenRequest requests a short-lived token of a ServiceAccount on a member cluster, with the
// given roles. The call that creates it returns the answer. Nothing is stored: metadata.name may be
// anything, come from generateName, or be empty.
type AuthTokenRequest struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. Nothing is stored under the name.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which cluster, which ServiceAccount and which rights.
	Spec AuthTokenRequestSpec `json:"spec"`
	// Status is the answer. The server sets it, and drops what a client sends.
	// +optional
	Status AuthTokenRequestStatus `json:"status,omitempty"`
}

// AuthTokenRequestSpec says which cluster, which ServiceAccount and which rights.
type AuthTokenRequestSpec struct {
	// TargetClusterProfile identifies the ClusterProfile of the member cluster. The subresource
	// clusterprofiles/token sets it from its URL.
	TargetClusterProfile ClusterProfileReference `json:"targetClusterProfile"`

	// ServiceAccountName is the name of the ServiceAccount on the member cluster. It is created if
	// it is missing. An existing ServiceAccount is refused unless it was created for the same
	// AuthTokenGrant.
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

	// ExpirationSeconds is the requested lifetime, in seconds. Defaults to 3600; at least 600. If
	// it exceeds the maximum of the server, that maximum is granted, with a warning.
	// +optional
	ExpirationSeconds *int64 `json:"expirationSeconds,omitempty"`
}

// ClusterProfileReference identifies a ClusterProfile of the hub.
type ClusterProfileReference struct {
	// APIGroup is the API group of ClusterProfile, multicluster.x-k8s.io, with or without its
	// version. Defaults to multicluster.x-k8s.io.
	// +optional
	APIGroup string `json:"apiGroup,omitempty"`
	// Kind is ClusterProfile, which is also the default.
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name is the name of the ClusterProfile.
	Name string `json:"name"`
	// Namespace is the namespace of the ClusterProfile. Defaults to the namespace of the request.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// UID is the UID of the ClusterProfile. If it is set and does not match, the request is refused
	// with 409 (Conflict), because the cluster has been replaced under its old name.
	// +optional
	UID types.UID `json:"uid,omitempty"`
}

// ClusterRole is a ClusterRole of the member cluster: an existing one, or one that is created for
// this request.
type ClusterRole struct {
	// Name is the name of the ClusterRole. With rules, it only distinguishes this role from others
	// in the request.
	Name string `json:"name"`
	// Rules are the rules of a ClusterRole that is created for this request. Without rules, the
	// existing ClusterRole of that name is bound.
	// +optional
	// +listType=atomic
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// Role is a Role of the member cluster: an existing one, or one that is created for this request.
type Role struct {
	// Namespace is the namespace of the Role on the member cluster.
	Namespace string `json:"namespace"`
	// Name is the name of the Role. With rules, it only distinguishes this role from others in the
	// request.
	Name string `json:"name"`
	// Rules are the rules of a Role that is created for this request. Without rules, the existing
	// Role of that name is bound.
	// +optional
	// +listType=atomic
	Rules []rbacv1.PolicyRule `json:"rules,omitempty"`
}

// AuthTokenRequestStatus is the answer to an AuthTokenRequest.
type AuthTokenRequestStatus struct {
	// Token is the bearer token for the member cluster. Only this answer contains it.
	// +optional
	Token string `json:"token,omitempty"`
	// ExpirationTimestamp is when the token expires, by the member's clock.
	// +optional
	ExpirationTimestamp *metav1.Time `json:"expirationTimestamp,omitempty"`
	// RefreshAfter is when to request the next token: after 80 % of the granted lifetime.
	// +optional
	RefreshAfter *metav1.Time `json:"refreshAfter,omitempty"`
	// Cluster says how to reach the member cluster.
	// +optional
	Cluster *Cluster `json:"cluster,omitempty"`
	// Kubeconfig is a complete kubeconfig file that contains the token, ready to use.
	// +optional
	// +listType=atomic
	Kubeconfig []byte `json:"kubeconfig,omitempty"`
	// GrantName is the name of the AuthTokenGrant that records this request, in the namespace of
	// the request.
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
	// CertificateAuthorityData holds the PEM-encoded certificates with which the server's
	// certificate is verified.
	// +optional
	// +listType=atomic
	CertificateAuthorityData []byte `json:"certificate-authority-data,omitempty"`
	// TLSServerName is the name that the server's certificate is verified for, if it is not the
	// host of the URL.
	// +optional
	TLSServerName string `json:"tls-server-name,omitempty"`
	// ProxyURL is the URL of the proxy through which the server is reached.
	// +optional
	ProxyURL string `json:"proxy-url,omitempty"`
}
