// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// explainOne returns what a placement makes of one cluster at the start of tests.
func explainOne(t *testing.T, spec v1alpha1.PlacementSpec, cluster Cluster, selected bool) (Result, Explanation) {
	t.Helper()
	fleet := NewFleet()
	cluster.NamespacedName = types.NamespacedName{Namespace: "fleet", Name: "one"}
	fleet.Set(cluster, start)
	if selected {
		fleet.SetDecision(itself, Decision{Clusters: []types.NamespacedName{cluster.NamespacedName}})
	}
	result, explanations := NewPlan(fleet, compile(t, spec)).Explain(start)
	require.Len(t, explanations, 1)
	return result, explanations[0]
}

func predicateSpec(selectors ...v1alpha1.ClusterSelector) v1alpha1.PlacementSpec {
	var spec v1alpha1.PlacementSpec
	for _, selector := range selectors {
		spec.Predicates = append(spec.Predicates, v1alpha1.ClusterPredicate{RequiredClusterSelector: selector})
	}
	return spec
}

func TestPredicates(t *testing.T) {
	t.Parallel()
	expression := func(text string) v1alpha1.ClusterSelector {
		return v1alpha1.ClusterSelector{CelSelector: v1alpha1.ClusterCelSelector{CelExpressions: []string{text}}}
	}
	requirement := func(r v1alpha1.ScoreRequirement) v1alpha1.ClusterSelector {
		return v1alpha1.ClusterSelector{ScoreSelector: v1alpha1.ClusterScoreSelector{Requirements: []v1alpha1.ScoreRequirement{r}}}
	}
	label := func(value string) v1alpha1.ClusterSelector {
		return v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"env": value}}}
	}
	claim := v1alpha1.ClusterSelector{ClaimSelector: v1alpha1.ClusterClaimSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "zone", Operator: metav1.LabelSelectorOpIn, Values: []string{"b"}},
	}}}
	four, five := ptr.To(resource.MustParse("4")), ptr.To(resource.MustParse("5"))
	gpus := func(atLeast, atMost *resource.Quantity) v1alpha1.ClusterSelector {
		return requirement(v1alpha1.ScoreRequirement{Name: "nvidia.com/gpu@Tesla-T4", AtLeast: atLeast, AtMost: atMost})
	}
	for _, test := range []struct {
		name string
		spec v1alpha1.PlacementSpec
		// reason is empty if the cluster passes.
		reason string
	}{
		{name: "no predicate matches everything"},
		{name: "a label matches", spec: predicateSpec(label("prod"))},
		{name: "a label does not match", spec: predicateSpec(label("dev")), reason: "labels do not match env=dev"},
		{name: "one predicate of several is enough", spec: predicateSpec(label("dev"), claim)},
		{name: "each predicate that is missed is told", spec: predicateSpec(label("dev"), label("test")), reason: "labels do not match env=dev; or labels do not match env=test"},
		{name: "parts of one predicate all have to match", spec: predicateSpec(v1alpha1.ClusterSelector{LabelSelector: label("prod").LabelSelector, ClaimSelector: v1alpha1.ClusterClaimSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "zone", Operator: metav1.LabelSelectorOpDoesNotExist}},
		}}), reason: "properties do not match !zone"},
		{name: "an expression sees the ClusterProfile", spec: predicateSpec(expression(`clusterProfile.metadata.labels["env"] == "prod" && clusterProfile.status.properties.exists(p, p.name == "zone" && p.value == "b")`))},
		{name: "an expression from OCM sees a ManagedCluster", spec: predicateSpec(expression(`managedCluster.status.clusterClaims.exists(c, c.name == "zone") && semver(managedCluster.status.version.kubernetes, true).isGreaterThan(semver("1.36.0"))`))},
		{name: "an expression sees conditions", spec: predicateSpec(expression(`clusterProfile.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`))},
		{name: "an expression that fails is not true", spec: predicateSpec(expression(`clusterProfile.metadata.labels["none"] == "x"`)), reason: "fails: no such key: none"},
		{name: "an expression that costs too much is not true", spec: predicateSpec(expression(zeros(1800) + `.all(x, clusterProfile.metadata.name != "x")`)), reason: "cost limit exceeded"},
		{name: "enough is free", spec: predicateSpec(gpus(four, nil))},
		{name: "too little is free", spec: predicateSpec(gpus(five, nil)), reason: "nvidia.com/gpu@Tesla-T4 of usage is 4, less than 5"},
		{name: "too much is there", spec: predicateSpec(gpus(nil, ptr.To(resource.MustParse("3500m")))), reason: "nvidia.com/gpu@Tesla-T4 of usage is 4, more than 3500m"},
		{name: "what is unknown is never enough", spec: predicateSpec(requirement(v1alpha1.ScoreRequirement{Name: "nvidia.com/gpu@A100", AtLeast: ptr.To(resource.MustParse("0"))})), reason: "nvidia.com/gpu@A100 of usage is unknown"},
		{name: "what has expired is never little enough", spec: predicateSpec(requirement(v1alpha1.ScoreRequirement{ResourceName: "latency", Name: "p99", AtMost: five})), reason: "p99 of latency has expired"},
		{name: "a score counts where there is no such value", spec: predicateSpec(requirement(v1alpha1.ScoreRequirement{Name: "trust", AtLeast: five}))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, got := explainOne(t, test.spec, Cluster{
				Labels:            map[string]string{"env": "prod"},
				Properties:        map[string]string{"zone": "b"},
				KubernetesVersion: "v1.37.2",
				Conditions:        []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}},
				Scores: map[string]*Figures{
					"usage":   {Values: map[string]resource.Quantity{"nvidia.com/gpu@Tesla-T4": *four}, Scores: map[string]int32{"trust": 7}},
					"latency": {Values: map[string]resource.Quantity{"p99": *four}, ValidUntil: start.Add(-1)},
				},
			}, false)
			if test.reason == "" {
				assert.Empty(t, got.Reason)
				assert.Equal(t, 0, got.Selected)
				return
			}
			assert.Equal(t, FilterPredicates, got.RefusedBy)
			assert.Contains(t, got.Reason, test.reason)
			assert.Equal(t, -1, got.Rank)
			assert.Equal(t, -1, got.Selected)
		})
	}
}

func TestTaints(t *testing.T) {
	t.Parallel()
	const noSelect, ifNew = v1alpha1.TaintEffectNoSelect, v1alpha1.TaintEffectNoSelectIfNew
	taint := func(value string, effect v1alpha1.TaintEffect) v1alpha1.ClusterTaint {
		return v1alpha1.ClusterTaint{Key: "gpu", Value: value, Effect: effect, TimeAdded: metav1.NewTime(start.Add(-time.Minute))}
	}
	seconds := func(seconds int64) v1alpha1.ClusterToleration {
		return v1alpha1.ClusterToleration{Key: "gpu", Operator: v1alpha1.TolerationOpExists, TolerationSeconds: &seconds}
	}
	for _, test := range []struct {
		name        string
		taint       v1alpha1.ClusterTaint
		tolerations []v1alpha1.ClusterToleration
		selected    bool
		reason      string
		next        time.Time
	}{
		{name: "a taint refuses", taint: taint("", noSelect), reason: "the taint gpu:NoSelect is not tolerated"},
		{name: "PreferNoSelect does not", taint: taint("", v1alpha1.TaintEffectPreferNoSelect)},
		{name: "NoSelectIfNew refuses what is new", taint: taint("a", ifNew), reason: "the taint gpu=a:NoSelectIfNew is not tolerated"},
		{name: "NoSelectIfNew keeps what is selected", taint: taint("a", ifNew), selected: true},
		{name: "Exists tolerates any value", taint: taint("a", noSelect), tolerations: []v1alpha1.ClusterToleration{{Key: "gpu", Operator: v1alpha1.TolerationOpExists}}},
		{name: "Exists without a key tolerates everything", taint: taint("a", noSelect), tolerations: []v1alpha1.ClusterToleration{{Operator: v1alpha1.TolerationOpExists}}},
		{name: "Equal tolerates the same value", taint: taint("a", noSelect), tolerations: []v1alpha1.ClusterToleration{{Key: "gpu", Value: "a"}}},
		{name: "Equal does not tolerate another value", taint: taint("a", noSelect), tolerations: []v1alpha1.ClusterToleration{{Key: "gpu", Value: "b"}}, reason: "is not tolerated"},
		{name: "an effect tolerates no other", taint: taint("a", noSelect), tolerations: []v1alpha1.ClusterToleration{{Key: "gpu", Value: "a", Effect: ifNew}}, reason: "is not tolerated"},
		{name: "a toleration lasts", taint: taint("", noSelect), tolerations: []v1alpha1.ClusterToleration{seconds(61)}, next: start.Add(time.Second)},
		{name: "a toleration ends at the very second", taint: taint("", noSelect), tolerations: []v1alpha1.ClusterToleration{seconds(60)}, reason: "is no longer tolerated"},
		{name: "a toleration that ended leaves room for another", taint: taint("", noSelect), tolerations: []v1alpha1.ClusterToleration{seconds(60), seconds(90)}, next: start.Add(30 * time.Second)},
		{name: "a very long toleration lasts for ever", taint: taint("", noSelect), tolerations: []v1alpha1.ClusterToleration{seconds(1 << 62)}},
		{name: "a taint of unknown age is too old", taint: v1alpha1.ClusterTaint{Key: "gpu", Effect: noSelect}, tolerations: []v1alpha1.ClusterToleration{seconds(1 << 40), seconds(60)}, reason: "is no longer tolerated"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			result, got := explainOne(t, v1alpha1.PlacementSpec{Tolerations: test.tolerations}, Cluster{Taints: []v1alpha1.ClusterTaint{test.taint}}, test.selected)
			assert.Equal(t, test.reason == "", got.RefusedBy == "", got.Reason)
			assert.Contains(t, got.Reason, test.reason)
			assert.Equal(t, test.next, result.Next)
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		spec v1alpha1.PlacementSpec
		want string
	}{
		{"a label that can't be", predicateSpec(v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"-": ""}}}), "spec.predicates[0].requiredClusterSelector.labelSelector"},
		{"an expression that is none", predicateSpec(v1alpha1.ClusterSelector{CelSelector: v1alpha1.ClusterCelSelector{CelExpressions: []string{"("}}}), "celSelector.celExpressions[0]"},
		{"a requirement without bounds", predicateSpec(v1alpha1.ClusterSelector{ScoreSelector: v1alpha1.ClusterScoreSelector{Requirements: []v1alpha1.ScoreRequirement{{Name: "cpu"}}}}), "one of atLeast and atMost"},
		{"a toleration of everything with a value", v1alpha1.PlacementSpec{Tolerations: []v1alpha1.ClusterToleration{{Operator: v1alpha1.TolerationOpExists, Value: "x"}}}, "spec.tolerations[0].value"},
		{"a toleration of no key", v1alpha1.PlacementSpec{Tolerations: []v1alpha1.ClusterToleration{{Value: "x"}}}, "spec.tolerations[0].operator"},
		{"a prioritiser that is none", v1alpha1.PlacementSpec{PrioritizerPolicy: v1alpha1.PrioritizerPolicy{Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{BuiltIn: "balance"}}}}}, `Unsupported value: "balance"`},
		{"a weight beyond bounds", v1alpha1.PlacementSpec{PrioritizerPolicy: v1alpha1.PrioritizerPolicy{Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{BuiltIn: "Balance"}, Weight: ptr.To[int32](11)}}}}, "not from -10 to 10"},
		{"an add-on score without a name", v1alpha1.PlacementSpec{PrioritizerPolicy: v1alpha1.PrioritizerPolicy{Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{Type: "AddOn"}}}}}, "scoreCoordinate.addOn: Required"},
		{"a mode that is none", v1alpha1.PlacementSpec{PrioritizerPolicy: v1alpha1.PrioritizerPolicy{Mode: "x"}}, "spec.prioritizerPolicy.mode"},
		{"a policy for missing scores that is none", v1alpha1.PlacementSpec{MissingScore: "x"}, "spec.missingScore"},
		{"less than no cluster", v1alpha1.PlacementSpec{NumberOfClusters: ptr.To[int32](-1)}, "spec.numberOfClusters"},
		{"an advantage below zero", v1alpha1.PlacementSpec{Stabilization: v1alpha1.Stabilization{MinimumAdvantage: -1}}, "spec.stabilization.minimumAdvantage"},
		{"a dwell time of more than a week", v1alpha1.PlacementSpec{Stabilization: v1alpha1.Stabilization{DwellSeconds: 1 << 40}}, "spec.stabilization.dwellSeconds"},
		{"a topology of nothing", v1alpha1.PlacementSpec{SpreadPolicy: v1alpha1.SpreadPolicy{SpreadConstraints: []v1alpha1.SpreadConstraint{{TopologyKeyType: "Label"}}}}, "spreadConstraints[0].topologyKey: Required"},
		{"a skew of nothing", v1alpha1.PlacementSpec{SpreadPolicy: v1alpha1.SpreadPolicy{SpreadConstraints: []v1alpha1.SpreadConstraint{{TopologyKey: "x", TopologyKeyType: "Label", MaxSkew: ptr.To[int32](0)}}}}, "spreadConstraints[0].maxSkew"},
		{"a group that is no label's value", v1alpha1.PlacementSpec{DecisionStrategy: v1alpha1.DecisionStrategy{GroupStrategy: v1alpha1.GroupStrategy{DecisionGroups: []v1alpha1.DecisionGroup{{GroupName: "a b"}}}}}, "decisionGroups[0].groupName"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			policy, errs := Compile(&v1alpha1.Placement{Spec: test.spec}, nil)
			assert.Nil(t, policy)
			require.Len(t, errs, 1)
			assert.Contains(t, errs[0].Error(), test.want)
		})
	}
}
