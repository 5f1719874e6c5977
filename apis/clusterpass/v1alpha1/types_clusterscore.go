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
	// MaxScores is the maximum number of values, and of scores, in one ClusterScore.
	MaxScores = 256
	// LeastScore is the minimum score, as in OCM.
	LeastScore = -100
	// MostScore is the maximum score, as in OCM.
	MostScore = 100
)

// Suffixes of the names that clusterpass collects. They follow the name of the resource, and the
// type of device if there is one. A name without a suffix is what pods can still request in the
// whole cluster.
const (
	// ScoreLargestNode is what one pod can still request: the most that is free on a single node.
	ScoreLargestNode = ":largest-node"
	// ScorePending is what pods request that have no node yet.
	ScorePending = ":pending"
)

// ScoreCollected is the condition of a ClusterScore that says whether clusterpass could collect it.
const ScoreCollected = "Collected"

// Reasons of the condition Collected.
const (
	// ScoreReasonCollected is used with Collected True.
	ScoreReasonCollected = "Collected"
	// ScoreReasonTooMany is used with Collected True: there was more than MaxScores allows. The
	// rest was left out.
	ScoreReasonTooMany = "TooMany"
	// ScoreReasonForbidden is used with Collected False: the member cluster does not allow
	// clusterpass to list its nodes and pods.
	ScoreReasonForbidden = "Forbidden"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ClusterScore holds figures of one cluster that change too often for its ClusterProfile.
// Placements choose clusters by them. clusterpass collects the figures with resourceName usage.
// Anyone whom the hub authorises may keep other figures. A figure that is absent, or no longer
// valid, is unknown: it is never treated as zero or as average.
type ClusterScore struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata. The name can be chosen freely: the spec identifies the cluster
	// and its figures.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec identifies the cluster, and the name by which placements find its figures. It is
	// immutable.
	Spec ClusterScoreSpec `json:"spec"`
	// Status holds the figures.
	// +optional
	Status ClusterScoreStatus `json:"status,omitempty"`
}

// ClusterScoreSpec identifies the cluster, and the name by which placements find its figures.
type ClusterScoreSpec struct {
	// ClusterProfileName is the name of the cluster's ClusterProfile in the same namespace. It is
	// immutable.
	ClusterProfileName string `json:"clusterProfileName"`
	// ResourceName is the name by which placements find these figures, the same for every cluster
	// that has them. It is a DNS subdomain such as usage or latency.example.com. It is immutable.
	// There should be one ClusterScore for each cluster and resource name. If there are several,
	// the one that was created first counts.
	ResourceName string `json:"resourceName"`
}

// ClusterScoreStatus holds the figures of a cluster.
type ClusterScoreStatus struct {
	// Values are amounts, such as how much of a resource is free. Requirements of placements
	// compare them. At most 256.
	// +optional
	// +listType=map
	// +listMapKey=name
	Values []ClusterValue `json:"values,omitempty"`
	// Scores are numbers that prioritisers weigh: the higher, the better. At most 256.
	// +optional
	// +listType=map
	// +listMapKey=name
	Scores []ClusterScoreItem `json:"scores,omitempty"`
	// ValidUntil is when values and scores become unknown, unless they are renewed. If it is not
	// set, they are valid until they are changed.
	// +optional
	ValidUntil *metav1.Time `json:"validUntil,omitempty"`
	// Conditions say how the figures were obtained. clusterpass sets Collected in the ClusterScores
	// that it collects.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ClusterValue is a named amount.
type ClusterValue struct {
	// Name is NAME[@TYPE][:ASPECT], for example cpu, nvidia.com/gpu@Tesla-T4 or
	// nvidia.com/gpu@Tesla-T4:largest-node. NAME is a qualified name, such as the name of a
	// resource. TYPE is the type of device, and a valid label value. ASPECT says what is counted,
	// and is a DNS label.
	Name string `json:"name"`
	// Value is the amount, in the unit that Kubernetes uses: cores of cpu, bytes of memory.
	Value *resource.Quantity `json:"value"`
}

// ClusterScoreItem is a named score.
type ClusterScoreItem struct {
	// Name is NAME[@TYPE][:ASPECT], as in values.
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

	// Items is the list of ClusterScores.
	Items []ClusterScore `json:"items"`
}
