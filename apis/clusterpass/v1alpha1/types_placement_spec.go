// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PlacementSpec says which clusters to choose. An empty one chooses all of the placement's namespace. It has one author, who has written all of it:
// server-side apply does not merge it.
// +structType=atomic
type PlacementSpec struct {
	// ClusterSets are the cluster sets to choose from: all namespaces whose label multicluster.x-k8s.io/clusterset has
	// one of these values. Without any it is the placement's own namespace. Of other namespaces those count whose
	// ClusterProfiles the author may list.
	// +optional
	// +listType=set
	ClusterSets []string `json:"clusterSets,omitempty"`
	// NumberOfClusters is how many clusters to select at most; all that can be, by default.
	// +optional
	NumberOfClusters *int32 `json:"numberOfClusters,omitempty"`
	// Predicates are hard needs. A cluster has to meet one of them, if there are any.
	// +optional
	// +listType=atomic
	Predicates []ClusterPredicate `json:"predicates,omitempty"`
	// PrioritizerPolicy says how clusters are ranked.
	// +optional
	PrioritizerPolicy PrioritizerPolicy `json:"prioritizerPolicy,omitempty"`
	// MissingScore says what becomes of a cluster that lacks a score or an amount which the policy weighs, or whose
	// has expired: Last (the default) ranks it after all others, Exclude refuses it, and Zero counts the score as 0, as
	// OCM does, so that a cluster nothing is known of may beat others.
	// +optional
	MissingScore MissingScorePolicy `json:"missingScore,omitempty"`
	// SpreadPolicy spreads what is selected over regions and the like.
	// +optional
	SpreadPolicy SpreadPolicy `json:"spreadPolicy,omitempty"`
	// Tolerations let clusters with certain taints be selected.
	// +optional
	// +listType=atomic
	Tolerations []ClusterToleration `json:"tolerations,omitempty"`
	// Stabilization keeps scores that waver from moving decisions to and fro.
	// +optional
	Stabilization Stabilization `json:"stabilization,omitempty"`
	// DecisionStrategy divides the selected clusters into groups.
	// +optional
	DecisionStrategy DecisionStrategy `json:"decisionStrategy,omitempty"`
	// Author is who last changed the rest of the spec, with the groups that the user was in then. The server sets it.
	// +optional
	Author *Author `json:"author,omitempty"`
}

// ClusterPredicate is a hard need.
type ClusterPredicate struct {
	// RequiredClusterSelector is what a cluster has to match.
	// +optional
	RequiredClusterSelector ClusterSelector `json:"requiredClusterSelector,omitempty"`
}

// ClusterSelector matches the clusters that all of its parts match. An empty one matches all.
type ClusterSelector struct {
	// LabelSelector is about the labels of the ClusterProfile.
	// +optional
	LabelSelector metav1.LabelSelector `json:"labelSelector,omitempty"`
	// ClaimSelector is about the properties in the status of the ClusterProfile, which OCM calls claims.
	// +optional
	ClaimSelector ClusterClaimSelector `json:"claimSelector,omitempty"`
	// CelSelector is about anything in the ClusterProfile.
	// +optional
	CelSelector ClusterCelSelector `json:"celSelector,omitempty"`
	// ScoreSelector is about amounts and scores in ClusterScores.
	// +optional
	ScoreSelector ClusterScoreSelector `json:"scoreSelector,omitempty"`
}

// ClusterClaimSelector selects by properties.
type ClusterClaimSelector struct {
	// MatchExpressions have to hold all. Their values have the form of label values.
	// +optional
	// +listType=atomic
	MatchExpressions []metav1.LabelSelectorRequirement `json:"matchExpressions,omitempty"`
}

// ClusterCelSelector selects by expressions.
type ClusterCelSelector struct {
	// CelExpressions have to be true all. They see the ClusterProfile as clusterProfile, with metadata and status. For
	// expressions from OCM they see it as managedCluster, too, with status.clusterClaims and status.version.kubernetes.
	// One that fails, or costs too much, is not true. A placement has at most 100.
	// +optional
	// +listType=atomic
	CelExpressions []string `json:"celExpressions,omitempty"`
}

// ClusterScoreSelector selects by amounts and scores.
type ClusterScoreSelector struct {
	// Requirements have to hold all.
	// +optional
	// +listType=atomic
	Requirements []ScoreRequirement `json:"requirements,omitempty"`
}

// ScoreRequirement bounds one amount. What is unknown, or has expired, is within no bounds.
type ScoreRequirement struct {
	// ResourceName is that of the ClusterScore: usage by default.
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
	// Name is that of a value, such as nvidia.com/gpu@Tesla-T4:largest-node, or of a score if no value has it.
	Name string `json:"name"`
	// AtLeast is the least that is enough. One of atLeast and atMost has to be there.
	// +optional
	AtLeast *resource.Quantity `json:"atLeast,omitempty"`
	// AtMost is the most that is not too much.
	// +optional
	AtMost *resource.Quantity `json:"atMost,omitempty"`
}

// MissingScorePolicy says what becomes of a cluster that lacks a score.
type MissingScorePolicy string

const (
	// MissingScoreLast ranks the cluster after all others.
	MissingScoreLast MissingScorePolicy = "Last"
	// MissingScoreExclude refuses it.
	MissingScoreExclude MissingScorePolicy = "Exclude"
	// MissingScoreZero counts the score as 0.
	MissingScoreZero MissingScorePolicy = "Zero"
)

// PrioritizerPolicy says how clusters are ranked: by the sum of the scores that prioritisers give, each multiplied by
// its weight, and by name where that is equal.
type PrioritizerPolicy struct {
	// Mode is Additive (the default), where Steady and Balance have weight 1 unless they are listed, or Exact, where
	// nothing counts but what is listed.
	// +optional
	Mode PrioritizerPolicyMode `json:"mode,omitempty"`
	// Configurations are prioritisers and their weights.
	// +optional
	// +listType=atomic
	Configurations []PrioritizerConfig `json:"configurations,omitempty"`
}

// PrioritizerPolicyMode says whether prioritisers that are not listed count.
type PrioritizerPolicyMode string

const (
	// PrioritizerPolicyAdditive adds to the default.
	PrioritizerPolicyAdditive PrioritizerPolicyMode = "Additive"
	// PrioritizerPolicyExact replaces it.
	PrioritizerPolicyExact PrioritizerPolicyMode = "Exact"
)

// PrioritizerConfig is a prioritiser and its weight.
type PrioritizerConfig struct {
	// ScoreCoordinate says which prioritiser it is.
	ScoreCoordinate ScoreCoordinate `json:"scoreCoordinate"`
	// Weight is what its scores are multiplied by, from -10 to 10; 1 by default. 0 turns it off.
	// +optional
	Weight *int32 `json:"weight,omitempty"`
}

// ScoreCoordinate says which prioritiser it is.
type ScoreCoordinate struct {
	// Type is BuiltIn (the default) or AddOn.
	// +optional
	Type ScoreCoordinateType `json:"type,omitempty"`
	// BuiltIn is Steady (100 for a cluster that is selected already), Balance (the less, the more often other placements
	// select the cluster), ResourceAllocatableCPU, ResourceAllocatableMemory (by what pods can still ask for, from -100
	// for the least to 100 for the most), or Spread (by how few clusters are selected in its topology).
	// +optional
	BuiltIn string `json:"builtIn,omitempty"`
	// AddOn says which score counts.
	// +optional
	AddOn *AddOnScore `json:"addOn,omitempty"`
}

// ScoreCoordinateType is where scores come from.
type ScoreCoordinateType string

const (
	// ScoreCoordinateBuiltIn is a prioritiser of clusterpass.
	ScoreCoordinateBuiltIn ScoreCoordinateType = "BuiltIn"
	// ScoreCoordinateAddOn is a score in ClusterScores.
	ScoreCoordinateAddOn ScoreCoordinateType = "AddOn"
)

// Names of built-in prioritisers.
const (
	PrioritizerSteady                    = "Steady"
	PrioritizerBalance                   = "Balance"
	PrioritizerResourceAllocatableCPU    = "ResourceAllocatableCPU"
	PrioritizerResourceAllocatableMemory = "ResourceAllocatableMemory"
	PrioritizerSpread                    = "Spread"
)

// AddOnScore is a score in ClusterScores.
type AddOnScore struct {
	// ResourceName is spec.resourceName of the ClusterScores, such as usage.
	ResourceName string `json:"resourceName"`
	// ScoreName is the name of the score.
	ScoreName string `json:"scoreName"`
}

// SpreadPolicy spreads what is selected over topologies.
type SpreadPolicy struct {
	// SpreadConstraints are kept in their order of importance. There are at most 8.
	// +optional
	// +listType=atomic
	SpreadConstraints []SpreadConstraint `json:"spreadConstraints,omitempty"`
}

// SpreadConstraint spreads over the values of one label or property.
type SpreadConstraint struct {
	// TopologyKey is the name of the label or the property.
	TopologyKey string `json:"topologyKey"`
	// TopologyKeyType is Label or Claim.
	TopologyKeyType TopologyKeyType `json:"topologyKeyType"`
	// MaxSkew is by how many selected clusters a topology may be ahead of the one with the fewest: 1 by default, at
	// least 1. Topologies that have no cluster which could be selected do not count.
	// +optional
	MaxSkew *int32 `json:"maxSkew,omitempty"`
	// WhenUnsatisfiable is ScheduleAnyway (the default), which prefers clusters that keep maxSkew, or DoNotSchedule,
	// which selects no others.
	// +optional
	WhenUnsatisfiable UnsatisfiableConstraintAction `json:"whenUnsatisfiable,omitempty"`
}

// TopologyKeyType is what a topology key names.
type TopologyKeyType string

const (
	// TopologyKeyLabel is a label.
	TopologyKeyLabel TopologyKeyType = "Label"
	// TopologyKeyClaim is a property.
	TopologyKeyClaim TopologyKeyType = "Claim"
)

// UnsatisfiableConstraintAction says what to do when a constraint can't be kept.
type UnsatisfiableConstraintAction string

const (
	// ScheduleAnyway selects clusters nevertheless.
	ScheduleAnyway UnsatisfiableConstraintAction = "ScheduleAnyway"
	// DoNotSchedule selects fewer clusters.
	DoNotSchedule UnsatisfiableConstraintAction = "DoNotSchedule"
)

// TaintEffect is what a taint does to placements that do not tolerate it.
type TaintEffect string

const (
	// TaintEffectNoSelect refuses the cluster.
	TaintEffectNoSelect TaintEffect = "NoSelect"
	// TaintEffectPreferNoSelect does nothing, as in OCM.
	TaintEffectPreferNoSelect TaintEffect = "PreferNoSelect"
	// TaintEffectNoSelectIfNew refuses the cluster unless the placement has selected it already.
	TaintEffectNoSelectIfNew TaintEffect = "NoSelectIfNew"
)

// ClusterTaint keeps placements that do not tolerate it off a cluster.
type ClusterTaint struct {
	// Key of the taint.
	Key string `json:"key"`
	// Value that goes with the key.
	// +optional
	Value string `json:"value,omitempty"`
	// Effect is NoSelect, PreferNoSelect or NoSelectIfNew.
	Effect TaintEffect `json:"effect"`
	// TimeAdded is when the taint came about.
	// +optional
	TimeAdded metav1.Time `json:"timeAdded,omitempty"`
}

// ClusterToleration tolerates the taints that it matches.
type ClusterToleration struct {
	// Key is that of the taint; all keys, with operator Exists, if it is empty.
	// +optional
	Key string `json:"key,omitempty"`
	// Operator is Equal (the default) or Exists, which is for any value.
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`
	// Value is that of the taint. With Exists it has to be empty.
	// +optional
	Value string `json:"value,omitempty"`
	// Effect is that of the taint; any effect if it is empty.
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
	// TolerationSeconds is for how many seconds the taint is tolerated, from its timeAdded on; for ever by default.
	// +optional
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// TolerationOperator is how a toleration compares values.
type TolerationOperator string

const (
	// TolerationOpExists is for any value.
	TolerationOpExists TolerationOperator = "Exists"
	// TolerationOpEqual is for one value.
	TolerationOpEqual TolerationOperator = "Equal"
)

// Stabilization keeps a decision until it is worth moving. It concerns moves for better scores alone: a cluster that no
// longer meets the hard needs is replaced at once.
type Stabilization struct {
	// MinimumAdvantage is by how much the weighted score of a cluster has to exceed that of a selected one, at least, to
	// take its place, or its rank. 0, the default, is any.
	// +optional
	MinimumAdvantage int64 `json:"minimumAdvantage,omitempty"`
	// DwellSeconds is for how long a selected cluster keeps its place after clusters were last selected: 0 by default.
	// +optional
	DwellSeconds int64 `json:"dwellSeconds,omitempty"`
}

// DecisionStrategy divides the selected clusters.
type DecisionStrategy struct {
	// GroupStrategy divides them into groups.
	// +optional
	GroupStrategy GroupStrategy `json:"groupStrategy,omitempty"`
	// SortBy is Score (the default), which keeps each group in the order of rank, or ClusterName.
	// +optional
	SortBy DecisionSortBy `json:"sortBy,omitempty"`
}

// DecisionSortBy is an order of clusters within their group.
type DecisionSortBy string

const (
	// SortByScore is by rank, best first.
	SortByScore DecisionSortBy = "Score"
	// SortByClusterName is by name.
	SortByClusterName DecisionSortBy = "ClusterName"
)

// GroupStrategy divides the selected clusters into groups.
type GroupStrategy struct {
	// DecisionGroups select clusters in their order. Those that none selects are divided after them.
	// +optional
	// +listType=atomic
	DecisionGroups []DecisionGroup `json:"decisionGroups,omitempty"`
	// ClustersPerDecisionGroup is how many clusters a group has at most: a number, or a percentage of all selected ones.
	// What is more goes into further groups of the same name. 100% by default.
	// +optional
	ClustersPerDecisionGroup *intstr.IntOrString `json:"clustersPerDecisionGroup,omitempty"`
}

// DecisionGroup is a group of selected clusters.
type DecisionGroup struct {
	// GroupName is the name of the group, and a label's value.
	GroupName string `json:"groupName"`
	// GroupClusterSelector selects the clusters.
	// +optional
	GroupClusterSelector GroupClusterSelector `json:"groupClusterSelector,omitempty"`
}

// GroupClusterSelector matches the clusters that both of its parts match.
type GroupClusterSelector struct {
	// LabelSelector is about the labels of the ClusterProfile.
	// +optional
	LabelSelector metav1.LabelSelector `json:"labelSelector,omitempty"`
	// ClaimSelector is about its properties.
	// +optional
	ClaimSelector ClusterClaimSelector `json:"claimSelector,omitempty"`
}
