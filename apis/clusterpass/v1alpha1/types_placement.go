// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationTaints is, on a ClusterProfile, a JSON list of ClusterTaints.
const AnnotationTaints = "clusterpass.dev/taints"

const (
	// LabelPlacement is, on a Workload of Kueue or its LocalQueue, the Placement of their namespace that chooses the clusters which the
	// Workload is nominated for. More exactly it is the value of the label multicluster.x-k8s.io/placement-key of its PlacementDecisions.
	LabelPlacement = "clusterpass.dev/placement"
	// AnnotationClusterProfile is, on a MultiKueueCluster of Kueue, NAMESPACE/NAME of the ClusterProfile that it is about. One that
	// has none is about those of its name.
	AnnotationClusterProfile = "clusterpass.dev/cluster-profile"
	// AnnotationDecisionWriter is, on a PlacementDecision, the username of who has written what it decides. Clients set it to their own
	// name alone. Where clusterpass serves PlacementDecisions, its server sees to that, and sets it where a client does not; where the
	// hub has the CustomResourceDefinition, a ValidatingAdmissionPolicy has to (artifacts/deploy/components/external-inventory).
	AnnotationDecisionWriter = "clusterpass.dev/decision-writer"
	// AnnotationCreator is, on what clusterpass-controller-manager has created, its username. The server sets it, and nobody else can. Such
	// objects do not count for the limits of their namespace.
	AnnotationCreator = "clusterpass.dev/creator"
)

// Labels of the PlacementDecisions of a Placement that has decision groups.
const (
	// LabelDecisionGroupName is the name of the decision group that the clusters are of.
	LabelDecisionGroupName = "clusterpass.dev/decision-group-name"
	// LabelDecisionGroupIndex is its place among all groups, from 0.
	LabelDecisionGroupIndex = "clusterpass.dev/decision-group-index"
)

// Taints that a ClusterProfile has by its condition ControlPlaneHealthy. They are named as in OCM.
const (
	// TaintUnavailable is there while the condition is False.
	TaintUnavailable = "cluster.open-cluster-management.io/unavailable"
	// TaintUnreachable is there while it is Unknown, or missing.
	TaintUnreachable = "cluster.open-cluster-management.io/unreachable"
)

// Bounds of a Placement.
const (
	// LeastWeight is the least weight of a prioritiser.
	LeastWeight int32 = -10
	// MostWeight is the most.
	MostWeight int32 = 10
	// DefaultWeight is the weight of a prioritiser that is listed without one.
	DefaultWeight int32 = 1
	// MaxDwellSeconds bounds spec.stabilization.dwellSeconds: a week.
	MaxDwellSeconds int64 = 7 * 24 * 3600
	// MaxSpreadConstraints bounds spec.spreadPolicy.spreadConstraints.
	MaxSpreadConstraints = 8
	// MaxPlacementItems bounds each other list of the spec.
	MaxPlacementItems = 100
	// MaxCelExpressions bounds the CEL expressions of all predicates together.
	MaxCelExpressions = 100
	// MaxCelExpressionLength bounds a CEL expression, in bytes. It is that of dynamic resource allocation.
	MaxCelExpressionLength = 10 * 1024
	// MaxCelExpressionsLength bounds all CEL expressions of a placement together, in bytes: they are kept compiled.
	MaxCelExpressionsLength = 32 * 1024
)

// Conditions of a Placement. They are named as in OCM.
const (
	// PlacementSatisfied is true when as many clusters are selected as are asked for.
	PlacementSatisfied = "PlacementSatisfied"
	// PlacementMisconfigured is true when the spec has a mistake that keeps it from being followed. The last good
	// decision stays as it is.
	PlacementMisconfigured = "PlacementMisconfigured"
)

// Reasons of the conditions of a Placement.
const (
	// PlacementReasonAllDecisionsScheduled stands with PlacementSatisfied True.
	PlacementReasonAllDecisionsScheduled = "AllDecisionsScheduled"
	// PlacementReasonNotAllDecisionsScheduled stands with False: fewer clusters can be selected than are asked for.
	PlacementReasonNotAllDecisionsScheduled = "NotAllDecisionsScheduled"
	// PlacementReasonNoClusterMatched stands with False: no cluster can be selected.
	PlacementReasonNoClusterMatched = "NoClusterMatched"
	// PlacementReasonNoClusterSets stands with False: no namespace that clusters may be chosen from is left.
	PlacementReasonNoClusterSets = "NoClusterSets"
	// PlacementReasonNameTaken stands with False: a PlacementDecision of the name of one that is needed is another's.
	PlacementReasonNameTaken = "NameTaken"
	// PlacementReasonMisconfigured stands with False, and with PlacementMisconfigured True.
	PlacementReasonMisconfigured = "Misconfigured"
	// PlacementReasonSucceedConfigured stands with PlacementMisconfigured False.
	PlacementReasonSucceedConfigured = "SucceedConfigured"
)

// +genclient
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// Placement chooses clusters: those that meet hard needs, the best of them by scores, and as many as are asked for.
// What it chose stands in PlacementDecisions of its namespace, best first. The fields that OCM's Placement
// (cluster.open-cluster-management.io/v1beta1) has, too, have the same names and the same meaning.
type Placement struct {
	metav1.TypeMeta `json:",inline"`
	// Standard object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec says which clusters to choose.
	// +optional
	Spec PlacementSpec `json:"spec,omitempty"`
	// Status is what has come of it.
	// +optional
	Status PlacementStatus `json:"status,omitempty"`
}

// PlacementStatus is what has come of a Placement.
type PlacementStatus struct {
	// ObservedGeneration is the generation of the spec that the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// NumberOfSelectedClusters counts the clusters that are selected.
	// +optional
	NumberOfSelectedClusters int32 `json:"numberOfSelectedClusters"`
	// NumberOfEligibleClusters counts the clusters that meet all hard needs.
	// +optional
	NumberOfEligibleClusters int32 `json:"numberOfEligibleClusters,omitempty"`
	// NumberOfCandidateClusters counts the clusters of the cluster sets.
	// +optional
	NumberOfCandidateClusters int32 `json:"numberOfCandidateClusters,omitempty"`
	// NumberOfStaleClusters counts the eligible clusters that have a score which this placement weighs, and which has
	// expired.
	// +optional
	NumberOfStaleClusters int32 `json:"numberOfStaleClusters,omitempty"`
	// LastMoveTime is when clusters were last selected, or ceased to be. Stabilization counts from it.
	// +optional
	LastMoveTime *metav1.MicroTime `json:"lastMoveTime,omitempty"`
	// DecisionGroups are the groups that the selected clusters are divided into.
	// +optional
	// +listType=map
	// +listMapKey=decisionGroupIndex
	DecisionGroups []DecisionGroupStatus `json:"decisionGroups,omitempty"`
	// Conditions of the placement.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// DecisionGroupStatus is one group of the selected clusters.
type DecisionGroupStatus struct {
	// DecisionGroupIndex is the place of the group among all, from 0.
	DecisionGroupIndex int32 `json:"decisionGroupIndex"`
	// DecisionGroupName is the name of the group in the spec; it is empty for clusters that no group selects.
	// +optional
	DecisionGroupName string `json:"decisionGroupName,omitempty"`
	// Decisions are the names of the group's PlacementDecisions, in their order.
	// +optional
	// +listType=atomic
	Decisions []string `json:"decisions,omitempty"`
	// ClusterCount counts the clusters of the group.
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

	// Items are the Placements.
	Items []Placement `json:"items"`
}
