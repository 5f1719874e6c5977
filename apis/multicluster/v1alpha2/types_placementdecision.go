// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha2

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxDecisions bounds the decisions of one PlacementDecision.
const MaxDecisions = 100

// Labels of a PlacementDecision.
const (
	// LabelDecisionKey has the same value on all slices of one decision.
	LabelDecisionKey = "multicluster.x-k8s.io/decision-key"
	// LabelDecisionIndex is the place of a slice in its decision. It starts at 0 and increments by 1.
	LabelDecisionIndex = "multicluster.x-k8s.io/decision-index"
	// LabelPlacementKey names the workload that the decision was made for.
	LabelPlacementKey = "multicluster.x-k8s.io/placement-key"
)

// +genclient
// +genclient:noStatus
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PlacementDecision is one slice of the clusters that a scheduler has chosen.
type PlacementDecision struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Decisions are the clusters that were chosen. It may be empty. At most 100.
	// +listType=atomic
	// +k8s:validation:maxItems=100
	Decisions []ClusterDecision `json:"decisions"`
	// SchedulerName is the name of the scheduler that made the decision.
	// +optional
	SchedulerName string `json:"schedulerName,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PlacementDecisionList is a list of PlacementDecisions.
type PlacementDecisionList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the PlacementDecisions.
	Items []PlacementDecision `json:"items"`
}

// ClusterDecision is one cluster that was chosen.
type ClusterDecision struct {
	// ClusterProfileRef refers to the ClusterProfile of the cluster.
	ClusterProfileRef ClusterProfileReference `json:"clusterProfileRef"`
	// Reason says why the cluster was chosen.
	// +optional
	Reason string `json:"reason,omitempty"`
}

// ClusterProfileReference refers to a ClusterProfile.
type ClusterProfileReference struct {
	// Name is the name of the ClusterProfile, a DNS subdomain.
	// +k8s:validation:minLength=1
	// +k8s:validation:maxLength=253
	Name string `json:"name"`
	// Namespace is the namespace of the ClusterProfile, a DNS label. Empty means the namespace of the
	// PlacementDecision.
	// +optional
	// +k8s:validation:maxLength=63
	Namespace string `json:"namespace,omitempty"`
}
