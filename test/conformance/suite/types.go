// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: "v1alpha2"}

const (
	clusterProfiles    = "clusterprofiles"
	placementDecisions = "placementdecisions"

	labelManager  = "x-k8s.io/cluster-manager"
	labelMemberID = "multicluster.x-k8s.io/inventory-member-id"
	labelKey      = "multicluster.x-k8s.io/decision-key"
	labelIndex    = "multicluster.x-k8s.io/decision-index"

	conditionHealthy = "ControlPlaneHealthy"
	conditionJoined  = "Joined"
)

// profile is what the suite reads of a ClusterProfile.
type profile struct {
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ClusterManager struct {
			Name string `json:"name"`
		} `json:"clusterManager"`
	} `json:"spec"`
	Status struct {
		Conditions []metav1.Condition `json:"conditions,omitempty"`
		Version    struct {
			Kubernetes string `json:"kubernetes,omitempty"`
		} `json:"version,omitempty"`
		AccessProviders []accessProvider `json:"accessProviders,omitempty"`
	} `json:"status,omitempty"`
}

// String returns NAMESPACE/NAME.
func (p *profile) String() string { return p.Namespace + "/" + p.Name }

func (p *profile) memberID() string { return p.Labels[labelMemberID] }

type accessProvider struct {
	Name    string  `json:"name"`
	Cluster cluster `json:"cluster"`
}

type cluster struct {
	Server                   string `json:"server"`
	TLSServerName            string `json:"tls-server-name,omitempty"`
	InsecureSkipTLSVerify    bool   `json:"insecure-skip-tls-verify,omitempty"`
	CertificateAuthorityData []byte `json:"certificate-authority-data,omitempty"`
	ProxyURL                 string `json:"proxy-url,omitempty"`
	DisableCompression       bool   `json:"disable-compression,omitempty"`
	Extensions               []struct {
		Name      string               `json:"name"`
		Extension runtime.RawExtension `json:"extension"`
	} `json:"extensions,omitempty"`
}

// decision is what the suite reads of a PlacementDecision.
type decision struct {
	metav1.ObjectMeta `json:"metadata"`

	Decisions []struct {
		ClusterProfileRef struct {
			Namespace string `json:"namespace,omitempty"`
			Name      string `json:"name"`
		} `json:"clusterProfileRef"`
	} `json:"decisions"`
}

// clusters returns the profiles that the slice names, as NAMESPACE/NAME.
func (d *decision) clusters() []string {
	names := make([]string, len(d.Decisions))
	for i := range d.Decisions {
		ref := d.Decisions[i].ClusterProfileRef
		names[i] = cmp.Or(ref.Namespace, d.Namespace) + "/" + ref.Name
	}
	return names
}
