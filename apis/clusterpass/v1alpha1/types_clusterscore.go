// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// UsageResourceName is the resource name of the ClusterScores that clusterpass itself collects.
	UsageResourceName = "usage"
	// MaxScores bounds the values, and the scores, of one ClusterScore.
	MaxScores = 256
	// LeastScore is the least that a score is, as in OCM.
	LeastScore = -100
	// MostScore is the most.
	MostScore = 100
)

// What follows the name of a resource, and the type of the device if there is one, in the names that clusterpass
// collects. A name without any of these is what pods can still ask for in the whole cluster.
const (
	// ScoreLargestNode is what one pod can still ask for: the most that is free on a single node.
	ScoreLargestNode = ":largest-node"
	// ScorePending is what pods ask for that no node has been found for.
	ScorePending = ":pending"
)

// ScoreCollected is the condition of a ClusterScore that says whether clusterpass could collect it.
const ScoreCollected = "Collected"

// Reasons of the condition Collected.
const (
	// ScoreReasonCollected stands with True.
	ScoreReasonCollected = "Collected"
	// ScoreReasonTooMany stands with True: there was more than MaxScores allows, and the rest was left out.
	ScoreReasonTooMany = "TooMany"
	// ScoreReasonForbidden stands with False: the member cluster does not let clusterpass list its nodes and pods.
	ScoreReasonForbidden = "Forbidden"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterScore holds figures of one cluster that change too often for its ClusterProfile, for placements to choose by.
// clusterpass collects those with resourceName usage; anybody whom the hub allows it keeps others. A figure that is
// absent, or that is no longer valid, is unknown: never zero, and never average.
type ClusterScore struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. The name may be any; spec says what it is about.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which cluster the figures are of, and by which name they are known. It never changes.
	Spec ClusterScoreSpec `json:"spec"`
	// Status is the figures.
	// +optional
	Status ClusterScoreStatus `json:"status,omitempty"`
}

// ClusterScoreSpec says what a ClusterScore is about.
type ClusterScoreSpec struct {
	// ClusterProfileName is the name of the cluster's ClusterProfile, which is in the same namespace. It is immutable.
	ClusterProfileName string `json:"clusterProfileName"`
	// ResourceName is what placements know these figures by, of every cluster that has them: a DNS subdomain such as
	// usage or latency.example.com. It is immutable. There should be one ClusterScore for a cluster and a resource
	// name; of several, the one that was created first counts.
	ResourceName string `json:"resourceName"`
}

// ClusterScoreStatus is the figures of a cluster.
type ClusterScoreStatus struct {
	// Values are amounts, such as what is free of a resource. Requirements compare them. There are at most 256.
	// +optional
	// +listType=map
	// +listMapKey=name
	Values []ClusterValue `json:"values,omitempty"`
	// Scores are what prioritisers weigh: the higher, the better. There are at most 256.
	// +optional
	// +listType=map
	// +listMapKey=name
	Scores []ClusterScoreItem `json:"scores,omitempty"`
	// ValidUntil is when values and scores become unknown, unless they are renewed. Without it they are valid until
	// they are changed.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
	// Conditions tell how the figures came about. clusterpass sets Collected on those that it collects.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterValue is a named amount.
type ClusterValue struct {
	// Name is NAME[@TYPE][:ASPECT]. NAME is a qualified name, such as that of a resource; TYPE, a label's value, is
	// the kind of device; ASPECT, a DNS label, says what is counted. For example cpu, nvidia.com/gpu@Tesla-T4 and
	// nvidia.com/gpu@Tesla-T4:largest-node.
	Name string `json:"name"`
	// Value is the amount, in the unit of Kubernetes: cores of cpu, bytes of memory.
	Value *resource.Quantity `json:"value"`
}

// ClusterScoreItem is a named score.
type ClusterScoreItem struct {
	// Name is formed as that of a value, NAME[@TYPE][:ASPECT].
	Name string `json:"name"`
	// Value is the score, from -100 to 100.
	Value *int32 `json:"value"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterScoreList is a list of ClusterScores.
type ClusterScoreList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items are the ClusterScores.
	Items []ClusterScore `json:"items"`
}
