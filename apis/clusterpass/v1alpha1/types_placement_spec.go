// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// PlacementSpec says which clusters to choose. An empty spec chooses all clusters of the
// placement's namespace. The spec has a single author, who wrote all of it: server-side apply
// replaces it as a whole, and does not merge it.
// +structType=atomic
type PlacementSpec struct {
	// ClusterSets are the cluster sets to choose from: all namespaces whose label
	// multicluster.x-k8s.io/clusterset has one of these values. Without any, clusters are chosen
	// from the placement's own namespace. Other namespaces count only if the author may list their
	// ClusterProfiles.
	// +optional
	// +listType=set
	ClusterSets []string `json:"clusterSets,omitempty"`
	// NumberOfClusters is the maximum number of clusters to select. Defaults to all clusters that
	// can be selected.
	// +optional
	NumberOfClusters *int32 `json:"numberOfClusters,omitempty"`
	// Predicates are hard requirements. If there are any, a cluster must meet at least one of them.
	// +optional
	// +listType=atomic
	Predicates []ClusterPredicate `json:"predicates,omitempty"`
	// PrioritizerPolicy says how clusters are ranked.
	// +optional
	PrioritizerPolicy PrioritizerPolicy `json:"prioritizerPolicy,omitempty"`
	// MissingScore says what happens to a cluster if a score or an amount that the policy weighs is
	// missing or has expired. Last (the default) ranks the cluster after all others. Exclude
	// refuses it. Zero counts the score as 0, as OCM does: a cluster about which nothing is known
	// may then rank before others.
	// +optional
	MissingScore MissingScorePolicy `json:"missingScore,omitempty"`
	// SpreadPolicy spreads the selected clusters over topologies, such as regions.
	// +optional
	SpreadPolicy SpreadPolicy `json:"spreadPolicy,omitempty"`
	// Tolerations allow clusters with matching taints to be selected.
	// +optional
	// +listType=atomic
	Tolerations []ClusterToleration `json:"tolerations,omitempty"`
	// Stabilization keeps fluctuating scores from changing decisions back and forth.
	// +optional
	Stabilization Stabilization `json:"stabilization,omitempty"`
	// DecisionStrategy divides the selected clusters into groups.
	// +optional
	DecisionStrategy DecisionStrategy `json:"decisionStrategy,omitempty"`
	// Author is the user who last changed the rest of the spec, with the groups that the user was
	// in at that time. The server sets it.
	// +optional
	Author *Author `json:"author,omitempty"`
}

// ClusterPredicate is a hard requirement.
type ClusterPredicate struct {
	// RequiredClusterSelector is the selector that a cluster must match.
	// +optional
	RequiredClusterSelector ClusterSelector `json:"requiredClusterSelector,omitempty"`
}

// ClusterSelector matches clusters that match all of its parts. An empty selector matches all
// clusters.
type ClusterSelector struct {
	// LabelSelector selects by labels of the ClusterProfile.
	// +optional
	LabelSelector metav1.LabelSelector `json:"labelSelector,omitempty"`
	// ClaimSelector selects by properties in the status of the ClusterProfile. OCM calls them
	// claims.
	// +optional
	ClaimSelector ClusterClaimSelector `json:"claimSelector,omitempty"`
	// CelSelector selects by CEL expressions over the ClusterProfile.
	// +optional
	CelSelector ClusterCelSelector `json:"celSelector,omitempty"`
	// ScoreSelector selects by amounts and scores in ClusterScores.
	// +optional
	ScoreSelector ClusterScoreSelector `json:"scoreSelector,omitempty"`
}

// ClusterClaimSelector selects by properties.
type ClusterClaimSelector struct {
	// MatchExpressions are requirements that must all be met. Their values must have the form of
	// label values.
	// +optional
	// +listType=atomic
	MatchExpressions []metav1.LabelSelectorRequirement `json:"matchExpressions,omitempty"`
}

// ClusterCelSelector selects by CEL expressions.
type ClusterCelSelector struct {
	// CelExpressions are CEL expressions that must all be true. The variable clusterProfile is the
	// ClusterProfile, with metadata and status. For expressions from OCM, the variable
	// managedCluster is the ClusterProfile, too, with status.clusterClaims and
	// status.version.kubernetes. An expression that fails, or costs too much, is not true. A
	// placement has at most 100 expressions.
	// +optional
	// +listType=atomic
	CelExpressions []string `json:"celExpressions,omitempty"`
}

// ClusterScoreSelector selects by amounts and scores.
type ClusterScoreSelector struct {
	// Requirements must all be met.
	// +optional
	// +listType=atomic
	Requirements []ScoreRequirement `json:"requirements,omitempty"`
}

// ScoreRequirement bounds one amount. An amount that is unknown or has expired does not meet it.
type ScoreRequirement struct {
	// ResourceName is spec.resourceName of the ClusterScore. Defaults to usage.
	// +optional
	ResourceName string `json:"resourceName,omitempty"`
	// Name is the name of a value, such as nvidia.com/gpu@Tesla-T4:largest-node. If no value has
	// that name, it is the name of a score.
	Name string `json:"name"`
	// AtLeast is the minimum amount, inclusive. At least one of atLeast and atMost is required.
	// +optional
	AtLeast *resource.Quantity `json:"atLeast,omitempty"`
	// AtMost is the maximum amount, inclusive.
	// +optional
	AtMost *resource.Quantity `json:"atMost,omitempty"`
}

// MissingScorePolicy says what happens to a cluster whose score is missing.
type MissingScorePolicy string

const (
	// MissingScoreLast ranks the cluster after all others.
	MissingScoreLast MissingScorePolicy = "Last"
	// MissingScoreExclude refuses the cluster.
	MissingScoreExclude MissingScorePolicy = "Exclude"
	// MissingScoreZero counts the score as 0.
	MissingScoreZero MissingScorePolicy = "Zero"
)

// PrioritizerPolicy says how clusters are ranked: by the sum of the scores from all prioritisers,
// each multiplied by its weight. Clusters with the same sum are ranked by name.
type PrioritizerPolicy struct {
	// Mode is Additive (the default) or Exact. With Additive, Steady and Balance have weight 1
	// unless they are listed. With Exact, only listed prioritisers count.
	// +optional
	Mode PrioritizerPolicyMode `json:"mode,omitempty"`
	// Configurations are the prioritisers with their weights.
	// +optional
	// +listType=atomic
	Configurations []PrioritizerConfig `json:"configurations,omitempty"`
}

// PrioritizerPolicyMode says whether unlisted prioritisers count.
type PrioritizerPolicyMode string

const (
	// PrioritizerPolicyAdditive adds the listed prioritisers to the default ones.
	PrioritizerPolicyAdditive PrioritizerPolicyMode = "Additive"
	// PrioritizerPolicyExact replaces the default prioritisers with the listed ones.
	PrioritizerPolicyExact PrioritizerPolicyMode = "Exact"
)

// PrioritizerConfig is a prioritiser with its weight.
type PrioritizerConfig struct {
	// ScoreCoordinate identifies the prioritiser.
	ScoreCoordinate ScoreCoordinate `json:"scoreCoordinate"`
	// Weight is the factor by which the prioritiser's scores are multiplied, from -10 to 10.
	// Defaults to 1. With 0, the prioritiser does not count.
	// +optional
	Weight *int32 `json:"weight,omitempty"`
}

// ScoreCoordinate identifies a prioritiser.
type ScoreCoordinate struct {
	// Type is BuiltIn (the default) or AddOn.
	// +optional
	Type ScoreCoordinateType `json:"type,omitempty"`
	// BuiltIn is the name of a built-in prioritiser: Steady (100 for a cluster that is already
	// selected), Balance (the more other placements select the cluster, the lower the score),
	// ResourceAllocatableCPU or ResourceAllocatableMemory (by what pods can still request, from
	// -100 for the least to 100 for the most), or Spread (the fewer clusters are selected in the
	// cluster's topology, the higher the score).
	// +optional
	BuiltIn string `json:"builtIn,omitempty"`
	// AddOn identifies a score in ClusterScores.
	// +optional
	AddOn *AddOnScore `json:"addOn,omitempty"`
}

// ScoreCoordinateType is the source of scores.
type ScoreCoordinateType string

const (
	// ScoreCoordinateBuiltIn is a built-in prioritiser of clusterpass.
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

// SpreadPolicy spreads the selected clusters over topologies.
type SpreadPolicy struct {
	// SpreadConstraints are the constraints, the most important one first. At most 8.
	// +optional
	// +listType=atomic
	SpreadConstraints []SpreadConstraint `json:"spreadConstraints,omitempty"`
}

// SpreadConstraint spreads the selected clusters over the values of one label or property.
type SpreadConstraint struct {
	// TopologyKey is the name of the label or property.
	TopologyKey string `json:"topologyKey"`
	// TopologyKeyType is Label or Claim.
	TopologyKeyType TopologyKeyType `json:"topologyKeyType"`
	// MaxSkew is the maximum number of selected clusters by which a topology may exceed the
	// topology with the fewest. Defaults to 1; at least 1. Topologies in which no cluster could be
	// selected do not count.
	// +optional
	MaxSkew *int32 `json:"maxSkew,omitempty"`
	// WhenUnsatisfiable is ScheduleAnyway (the default) or DoNotSchedule. ScheduleAnyway prefers
	// clusters that keep maxSkew. DoNotSchedule selects only clusters that keep maxSkew.
	// +optional
	WhenUnsatisfiable UnsatisfiableConstraintAction `json:"whenUnsatisfiable,omitempty"`
}

// TopologyKeyType says what a topology key names.
type TopologyKeyType string

const (
	// TopologyKeyLabel means that the key names a label.
	TopologyKeyLabel TopologyKeyType = "Label"
	// TopologyKeyClaim means that the key names a property.
	TopologyKeyClaim TopologyKeyType = "Claim"
)

// UnsatisfiableConstraintAction says what to do if a constraint cannot be kept.
type UnsatisfiableConstraintAction string

const (
	// ScheduleAnyway selects clusters anyway.
	ScheduleAnyway UnsatisfiableConstraintAction = "ScheduleAnyway"
	// DoNotSchedule selects fewer clusters.
	DoNotSchedule UnsatisfiableConstraintAction = "DoNotSchedule"
)

// TaintEffect is the effect of a taint on placements that do not tolerate it.
type TaintEffect string

const (
	// TaintEffectNoSelect refuses the cluster.
	TaintEffectNoSelect TaintEffect = "NoSelect"
	// TaintEffectPreferNoSelect has no effect, as in OCM.
	TaintEffectPreferNoSelect TaintEffect = "PreferNoSelect"
	// TaintEffectNoSelectIfNew refuses the cluster unless the placement has already selected it.
	TaintEffectNoSelectIfNew TaintEffect = "NoSelectIfNew"
)

// ClusterTaint keeps placements that do not tolerate it from selecting a cluster.
type ClusterTaint struct {
	// Key is the key of the taint.
	Key string `json:"key"`
	// Value is the value of the taint.
	// +optional
	Value string `json:"value,omitempty"`
	// Effect is NoSelect, PreferNoSelect or NoSelectIfNew.
	Effect TaintEffect `json:"effect"`
	// TimeAdded is when the taint was added.
	// +optional
	TimeAdded metav1.Time `json:"timeAdded,omitempty"`
}

// ClusterToleration tolerates taints that match it.
type ClusterToleration struct {
	// Key is the key of the taint. If it is empty, all keys match, and operator must be Exists.
	// +optional
	Key string `json:"key,omitempty"`
	// Operator is Equal (the default) or Exists. Exists matches any value.
	// +optional
	Operator TolerationOperator `json:"operator,omitempty"`
	// Value is the value of the taint. With operator Exists, it must be empty.
	// +optional
	Value string `json:"value,omitempty"`
	// Effect is the effect of the taint. If it is empty, all effects match.
	// +optional
	Effect TaintEffect `json:"effect,omitempty"`
	// TolerationSeconds is how long the taint is tolerated, in seconds from its timeAdded. By
	// default, the taint is tolerated forever.
	// +optional
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}

// TolerationOperator says how a toleration compares values.
type TolerationOperator string

const (
	// TolerationOpExists matches any value.
	TolerationOpExists TolerationOperator = "Exists"
	// TolerationOpEqual matches one value.
	TolerationOpEqual TolerationOperator = "Equal"
)

// Stabilization keeps a decision until a change is worthwhile. It affects only changes for better
// scores: a cluster that no longer meets the hard requirements is replaced at once.
type Stabilization struct {
	// MinimumAdvantage is the minimum by which the weighted score of a cluster must exceed that of
	// a selected cluster to take its place or its rank. Defaults to 0: any advantage is enough.
	// +optional
	MinimumAdvantage int64 `json:"minimumAdvantage,omitempty"`
	// DwellSeconds is how long selected clusters keep their places after clusters were last
	// selected, in seconds. Defaults to 0.
	// +optional
	DwellSeconds int64 `json:"dwellSeconds,omitempty"`
}

// DecisionStrategy says how the selected clusters are grouped and sorted.
type DecisionStrategy struct {
	// GroupStrategy divides the selected clusters into groups.
	// +optional
	GroupStrategy GroupStrategy `json:"groupStrategy,omitempty"`
	// SortBy is the order of the clusters in each group: Score (the default), by rank, or
	// ClusterName, by name.
	// +optional
	SortBy DecisionSortBy `json:"sortBy,omitempty"`
}

// DecisionSortBy is the order of clusters in a group.
type DecisionSortBy string

const (
	// SortByScore sorts clusters by rank, best first.
	SortByScore DecisionSortBy = "Score"
	// SortByClusterName sorts clusters by name.
	SortByClusterName DecisionSortBy = "ClusterName"
)

// GroupStrategy divides the selected clusters into groups.
type GroupStrategy struct {
	// DecisionGroups select clusters, one group after the other. Clusters that no group selects are
	// divided last.
	// +optional
	// +listType=atomic
	DecisionGroups []DecisionGroup `json:"decisionGroups,omitempty"`
	// ClustersPerDecisionGroup is the maximum number of clusters in a group: a number, or a
	// percentage of all selected clusters. Further clusters go into further groups of the same
	// name. Defaults to 100%.
	// +optional
	ClustersPerDecisionGroup *intstr.IntOrString `json:"clustersPerDecisionGroup,omitempty"`
}

// DecisionGroup is a group of selected clusters.
type DecisionGroup struct {
	// GroupName is the name of the group. It must be a valid label value.
	GroupName string `json:"groupName"`
	// GroupClusterSelector selects the clusters of the group.
	// +optional
	GroupClusterSelector GroupClusterSelector `json:"groupClusterSelector,omitempty"`
}

// GroupClusterSelector matches clusters that match both of its parts.
type GroupClusterSelector struct {
	// LabelSelector selects by labels of the ClusterProfile.
	// +optional
	LabelSelector metav1.LabelSelector `json:"labelSelector,omitempty"`
	// ClaimSelector selects by properties in the status of the ClusterProfile.
	// +optional
	ClaimSelector ClusterClaimSelector `json:"claimSelector,omitempty"`
}
