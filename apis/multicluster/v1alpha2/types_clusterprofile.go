// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Bounds of a ClusterProfile, those of lengths in code points.
const (
	// MaxAccessProviders bounds accessProviders.
	MaxAccessProviders = 64
	// MaxNameLength bounds the names of access providers and of extensions, and tls-server-name.
	MaxNameLength = 253
	// MaxURLLength bounds server and proxy-url.
	MaxURLLength = 2048
)

const (
	// LabelClusterManager is the label with the name of the cluster manager of a ClusterProfile.
	LabelClusterManager = "x-k8s.io/cluster-manager"
	// LabelInventoryMemberID is the label that correlates the ClusterProfiles of one member cluster.
	// It is not empty if set. The administrator of the platform coordinates its values.
	LabelInventoryMemberID = "multicluster.x-k8s.io/inventory-member-id"
)

// ConditionControlPlaneHealthy says whether the control plane of the cluster is healthy.
const ConditionControlPlaneHealthy = "ControlPlaneHealthy"

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterProfile represents one cluster of the inventory.
type ClusterProfile struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec names the cluster and its manager.
	Spec ClusterProfileSpec `json:"spec"`
	// Status is what the manager knows of the cluster.
	// +optional
	Status ClusterProfileStatus `json:"status,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterProfileList is a list of ClusterProfiles.
type ClusterProfileList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the ClusterProfiles.
	Items []ClusterProfile `json:"items"`
}

// ClusterProfileSpec names a cluster and its manager.
type ClusterProfileSpec struct {
	// DisplayName is the name of the cluster for people.
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// ClusterManager is the manager that owns the ClusterProfile. It is immutable.
	ClusterManager ClusterManager `json:"clusterManager"`
}

// ClusterManager is a system that manages clusters, such as Open Cluster Management, KubeFleet or
// Karmada.
type ClusterManager struct {
	// Name is the name of the manager, a label value of 1 to 63 characters. The label
	// x-k8s.io/cluster-manager has the same value.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=63
	Name string `json:"name"`
}

// ClusterProfileStatus is what the manager knows of a cluster.
type ClusterProfileStatus struct {
	// Conditions are the conditions of the cluster, such as ControlPlaneHealthy.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Version has the versions of the cluster.
	// +optional
	Version ClusterVersion `json:"version,omitempty"`
	// Properties are properties of the cluster: those of ClusterProperty (KEP-2149) and those that the
	// manager defines.
	// +optional
	// +listType=map
	// +listMapKey=name
	Properties []Property `json:"properties,omitempty"`
	// AccessProviders are the ways to reach the cluster. At most 64.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +k8s:validation:maxItems=64
	AccessProviders []AccessProvider `json:"accessProviders,omitempty"`
}

// ClusterVersion has the versions of a cluster.
type ClusterVersion struct {
	// Kubernetes is the Kubernetes version of the cluster.
	// +optional
	Kubernetes string `json:"kubernetes,omitempty"`
}

// Property is a property of a cluster.
type Property struct {
	// Name is the name of the property, of 1 to 253 characters.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=253
	Name string `json:"name"`
	// Value is the value of the property, of 1 to 1024 characters.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=1024
	Value string `json:"value"`
	// LastObservedTime is when the manager last read the property from the cluster.
	// +optional
	LastObservedTime metav1.Time `json:"lastObservedTime,omitempty"`
}

// AccessProvider is one way to reach a cluster.
type AccessProvider struct {
	// Name is the name of the provider, of 1 to 253 characters. Consumers choose a provider by its
	// name.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=253
	Name string `json:"name"`
	// Cluster says how to reach the cluster.
	Cluster Cluster `json:"cluster"`
}

// Cluster says how to reach the API server of a cluster. Its fields are those of a kubeconfig's
// cluster.
type Cluster struct {
	// Server is the URL of the API server: absolute, with a host, of at most 2048 characters.
	// +k8s:validation:maxLength=2048
	Server string `json:"server"`
	// TLSServerName is the name that the server's certificate is verified for, if it is not the host
	// of the URL. At most 253 characters.
	// +optional
	// +k8s:validation:maxLength=253
	TLSServerName string `json:"tls-server-name,omitempty"`
	// InsecureSkipTLSVerify turns the verification of the server's certificate off.
	// +optional
	InsecureSkipTLSVerify bool `json:"insecure-skip-tls-verify,omitempty"`
	// CertificateAuthorityData holds the PEM-encoded certificates with which the server's certificate
	// is verified.
	// +optional
	// +listType=atomic
	CertificateAuthorityData []byte `json:"certificate-authority-data,omitempty"`
	// ProxyURL is the URL of the proxy through which the server is reached: http, https or socks5,
	// with a host, of at most 2048 characters. Empty means no proxy.
	// +optional
	// +k8s:validation:maxLength=2048
	ProxyURL string `json:"proxy-url,omitempty"`
	// DisableCompression turns the compression of the server's answers off.
	// +optional
	DisableCompression bool `json:"disable-compression,omitempty"`
	// Extensions hold what a provider needs beside the other fields, such as
	// client.authentication.k8s.io/exec for a credential plugin.
	// +optional
	// +listType=map
	// +listMapKey=name
	Extensions []NamedExtension `json:"extensions,omitempty"`
}

// NamedExtension is an object of a provider under a name.
type NamedExtension struct {
	// Name is the name of the extension, of 1 to 253 characters.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=253
	Name string `json:"name"`
	// Extension is the object.
	Extension runtime.RawExtension `json:"extension"`
}
