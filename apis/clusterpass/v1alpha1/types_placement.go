// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationTaints is an annotation of a ClusterProfile. Its value is a JSON list of ClusterTaints.
const AnnotationTaints = "clusterpass.dev/taints"

const (
	// LabelPlacement is a label of a Kueue Workload or of its LocalQueue. It names the Placement in
	// their namespace that chooses the clusters for which the Workload is nominated. Its value is
	// the value of the label multicluster.x-k8s.io/placement-key of that Placement's
	// PlacementDecisions.
	LabelPlacement = "clusterpass.dev/placement"
	// AnnotationClusterProfile is an annotation of a Kueue MultiKueueCluster. Its value is
	// NAMESPACE/NAME of the cluster's ClusterProfile. A MultiKueueCluster without it stands for the
	// ClusterProfiles of its name.
	AnnotationClusterProfile = "clusterpass.dev/cluster-profile"
	// AnnotationDecisionWriter is an annotation of a PlacementDecision. Its value is the username
	// of the user who wrote the decisions in it. Clients may set it only to their own name. If
	// clusterpass serves PlacementDecisions, its server enforces that, and sets the annotation if a
	// client does not. If the hub has the CustomResourceDefinition, a ValidatingAdmissionPolicy
	// must enforce it (artifacts/deploy/components/external-inventory).
	AnnotationDecisionWriter = "clusterpass.dev/decision-writer"
	// AnnotationCreator is an annotation of objects that clusterpass-controller-manager created.
	// Its value is the username of the controller manager. Only the server can set it. These
	// objects do not count towards the limits of their namespace.
	AnnotationCreator = "clusterpass.dev/creator"
)

// Labels of the PlacementDecisions of a Placement that has decision groups.
const (
	// LabelDecisionGroupName is the name of the decision group that the clusters belong to.
	LabelDecisionGroupName = "clusterpass.dev/decision-group-name"
	// LabelDecisionGroupIndex is the index of that decision group, from 0.
	LabelDecisionGroupIndex = "clusterpass.dev/decision-group-index"
)

// Taints that a ClusterProfile has because of its condition ControlPlaneHealthy. They have the
// names that OCM uses.
const (
	// TaintUnavailable is set while the condition is False.
	TaintUnavailable = "cluster.open-cluster-management.io/unavailable"
	// TaintUnreachable is set while the condition is Unknown or missing.
	TaintUnreachable = "cluster.open-cluster-management.io/unreachable"
)

// Bounds of a Placement.
const (
	// LeastWeight is the minimum weight of a prioritiser.
	LeastWeight int32 = -10
	// MostWeight is the maximum weight of a prioritiser.
	MostWeight int32 = 10
	// DefaultWeight is the weight of a prioritiser that is listed without one.
	DefaultWeight int32 = 1
	// MaxDwellSeconds bounds spec.stabilization.dwellSeconds: a week.
	MaxDwellSeconds int64 = 7 * 24 * 3600
	// MaxSpreadConstraints bounds spec.spreadPolicy.spreadConstraints.
	MaxSpreadConstraints = 8
	// MaxPlacementItems bounds every other list in the spec.
	MaxPlacementItems = 100
	// MaxCelExpressions bounds the CEL expressions of all predicates together.
	MaxCelExpressions = 100
	// MaxCelExpressionLength bounds a CEL expression, in bytes. Dynamic resource allocation has the
	// same bound.
	MaxCelExpressionLength = 10 * 1024
	// MaxCelExpressionsLength bounds all CEL expressions of a placement together, in bytes, because
	// they are kept compiled.
	MaxCelExpressionsLength = 32 * 1024
)

// Conditions of a Placement. They have the names that OCM uses.
const (
	// PlacementSatisfied is True if as many clusters are selected as are requested.
	PlacementSatisfied = "PlacementSatisfied"
	// PlacementMisconfigured is True if the controller cannot follow the spec because of a mistake
	// in it. The last good decision stays as it is.
	PlacementMisconfigured = "PlacementMisconfigured"
)

// Reasons of the conditions of a Placement.
const (
	// PlacementReasonAllDecisionsScheduled is used with PlacementSatisfied True.
	PlacementReasonAllDecisionsScheduled = "AllDecisionsScheduled"
	// PlacementReasonNotAllDecisionsScheduled is used with PlacementSatisfied False: fewer clusters
	// can be selected than are requested.
	PlacementReasonNotAllDecisionsScheduled = "NotAllDecisionsScheduled"
	// PlacementReasonNoClusterMatched is used with PlacementSatisfied False: no cluster can be
	// selected.
	PlacementReasonNoClusterMatched = "NoClusterMatched"
	// PlacementReasonNoClusterSets is used with PlacementSatisfied False: there is no namespace
	// from which clusters may be chosen.
	PlacementReasonNoClusterSets = "NoClusterSets"
	// PlacementReasonNameTaken is used with PlacementSatisfied False: the name of a
	// PlacementDecision that the placement needs belongs to another object.
	PlacementReasonNameTaken = "NameTaken"
	// PlacementReasonNotServed is used with PlacementSatisfied False: the hub has no
	// PlacementDecisions that could be written.
	PlacementReasonNotServed = "PlacementDecisionsNotServed"
	// PlacementReasonMisconfigured is used with PlacementSatisfied False, and with
	// PlacementMisconfigured True.
	PlacementReasonMisconfigured = "Misconfigured"
	// PlacementReasonSucceedConfigured is used with PlacementMisconfigured False.
	PlacementReasonSucceedConfigured = "SucceedConfigured"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Placement chooses clusters: those that meet the hard requirements, the best of them by scores,
// and as many as are requested. The result is in PlacementDecisions of its namespace, best first.
// Fields that are also in OCM's Placement (cluster.open-cluster-management.io/v1beta1) have the
// same names and the same meaning.
type Placement struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which clusters to choose.
	// +optional
	Spec PlacementSpec `json:"spec,omitempty"`
	// Status is the observed state.
	// +optional
	Status PlacementStatus `json:"status,omitempty"`
}

// PlacementStatus is the observed state of a Placement.
type PlacementStatus struct {
	// ObservedGeneration is the generation of the spec that this status describes.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// NumberOfSelectedClusters is the number of selected clusters.
	// +optional
	NumberOfSelectedClusters int32 `json:"numberOfSelectedClusters"`
	// NumberOfEligibleClusters is the number of clusters that meet all hard requirements.
	// +optional
	NumberOfEligibleClusters int32 `json:"numberOfEligibleClusters,omitempty"`
	// NumberOfCandidateClusters is the number of clusters in the cluster sets.
	// +optional
	NumberOfCandidateClusters int32 `json:"numberOfCandidateClusters,omitempty"`
	// NumberOfStaleClusters is the number of eligible clusters for which a score that this
	// placement weighs has expired.
	// +optional
	NumberOfStaleClusters int32 `json:"numberOfStaleClusters,omitempty"`
	// LastMoveTime is when a cluster was last selected or deselected. Stabilization counts from
	// this time.
	// +optional
	LastMoveTime *metav1.MicroTime `json:"lastMoveTime,omitempty"`
	// DecisionGroups are the groups into which the selected clusters are divided.
	// +optional
	// +listType=map
	// +listMapKey=decisionGroupIndex
	DecisionGroups []DecisionGroupStatus `json:"decisionGroups,omitempty"`
	// Conditions are the conditions of the placement.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DecisionGroupStatus describes one group of selected clusters.
type DecisionGroupStatus struct {
	// DecisionGroupIndex is the index of the group, from 0.
	DecisionGroupIndex int32 `json:"decisionGroupIndex"`
	// DecisionGroupName is the name of the group in the spec. It is empty for clusters that no
	// group selects.
	// +optional
	DecisionGroupName string `json:"decisionGroupName,omitempty"`
	// Decisions are the names of the group's PlacementDecisions, in order.
	// +optional
	// +listType=atomic
	Decisions []string `json:"decisions,omitempty"`
	// ClusterCount is the number of clusters in the group.
	// +optional
	ClusterCount int32 `json:"clusterCount,omitempty"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// PlacementList is a list of Placements.
type PlacementList struct {
	metav1.TypeMeta `json:",inline"`
	// Standard list metadata.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`

	// Items is the list of Placements.
	Items []Placement `json:"items"`
}
