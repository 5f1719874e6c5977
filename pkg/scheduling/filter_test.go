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
	"sigs.k8s.io/yaml"

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

func byLabel(key, value string) v1alpha1.ClusterSelector {
	return v1alpha1.ClusterSelector{LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{key: value}}}
}

func byExpression(texts ...string) v1alpha1.ClusterSelector {
	return v1alpha1.ClusterSelector{CelSelector: v1alpha1.ClusterCelSelector{CelExpressions: texts}}
}

func byScore(r v1alpha1.ScoreRequirement) v1alpha1.ClusterSelector {
	return v1alpha1.ClusterSelector{ScoreSelector: v1alpha1.ClusterScoreSelector{Requirements: []v1alpha1.ScoreRequirement{r}}}
}

func TestPredicates(t *testing.T) {
	t.Parallel()
	zone := func(operator metav1.LabelSelectorOperator, values ...string) v1alpha1.ClusterClaimSelector {
		requirement := metav1.LabelSelectorRequirement{Key: "zone", Operator: operator, Values: values}
		return v1alpha1.ClusterClaimSelector{MatchExpressions: []metav1.LabelSelectorRequirement{requirement}}
	}
	prod, dev, claim := byLabel("env", "prod"), byLabel("env", "dev"), v1alpha1.ClusterSelector{ClaimSelector: zone("In", "b")}
	parts := v1alpha1.ClusterSelector{LabelSelector: prod.LabelSelector, ClaimSelector: zone("DoesNotExist")}
	none, four, five := ptr.To(resource.MustParse("0")), ptr.To(resource.MustParse("4")), ptr.To(resource.MustParse("5"))
	gpus := func(atLeast, atMost *resource.Quantity) v1alpha1.ClusterSelector {
		return byScore(v1alpha1.ScoreRequirement{Name: "nvidia.com/gpu@Tesla-T4", AtLeast: atLeast, AtMost: atMost})
	}
	type all = []v1alpha1.ClusterSelector
	for _, test := range []struct {
		name      string
		selectors all
		// reason is empty if the cluster passes.
		reason string
	}{
		{"no predicate matches everything", nil, ""},
		{"a label matches", all{prod}, ""},
		{"a label does not match", all{dev}, "labels do not match env=dev"},
		{"one predicate of several is enough", all{dev, claim}, ""},
		{"each predicate that fails is reported", all{dev, byLabel("env", "test")},
			"labels do not match env=dev; or labels do not match env=test"},
		{"parts of one predicate all have to match", all{parts}, "properties do not match !zone"},
		{"an expression sees the ClusterProfile", all{byExpression(`clusterProfile.metadata.labels["env"] == "prod" && ` +
			`clusterProfile.status.properties.exists(p, p.name == "zone" && p.value == "b")`)}, ""},
		{"an expression from OCM sees a ManagedCluster", all{byExpression(`managedCluster.status.clusterClaims.exists(c, c.name == "zone") && ` +
			`semver(managedCluster.status.version.kubernetes, true).isGreaterThan(semver("1.36.0"))`)}, ""},
		{"an expression sees conditions",
			all{byExpression(`clusterProfile.status.conditions.exists(c, c.type == "Ready" && c.status == "True")`)}, ""},
		{"an expression that fails is not true",
			all{byExpression(`clusterProfile.metadata.labels["none"] == "x"`)}, "fails: no such key: none"},
		{"an expression that costs too much is not true",
			all{byExpression(zeros(1800) + `.all(x, clusterProfile.metadata.name != "x")`)}, "cost limit exceeded"},
		{"enough is free", all{gpus(four, nil)}, ""},
		{"too little is free", all{gpus(five, nil)}, "nvidia.com/gpu@Tesla-T4 of usage is 4, less than 5"},
		{"too much is there", all{gpus(nil, ptr.To(resource.MustParse("3500m")))}, "nvidia.com/gpu@Tesla-T4 of usage is 4, more than 3500m"},
		{"what is unknown is never enough",
			all{byScore(v1alpha1.ScoreRequirement{Name: "nvidia.com/gpu@A100", AtLeast: none})}, "nvidia.com/gpu@A100 of usage is unknown"},
		{"what has expired is never little enough",
			all{byScore(v1alpha1.ScoreRequirement{ResourceName: "latency", Name: "p99", AtMost: five})}, "p99 of latency has expired"},
		{"a score counts where there is no such value", all{byScore(v1alpha1.ScoreRequirement{Name: "trust", AtLeast: five})}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, got := explainOne(t, predicateSpec(test.selectors...), Cluster{
				Labels: map[string]string{"env": "prod"}, Properties: map[string]string{"zone": "b"}, KubernetesVersion: "v1.37.2",
				Conditions: []metav1.Condition{{Type: "Ready", Status: metav1.ConditionTrue}},
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
	plain, valued := taint("", noSelect), taint("a", noSelect)
	seconds := func(seconds int64) v1alpha1.ClusterToleration {
		return v1alpha1.ClusterToleration{Key: "gpu", Operator: v1alpha1.TolerationOpExists, TolerationSeconds: &seconds}
	}
	for _, test := range []struct {
		name     string
		taint    v1alpha1.ClusterTaint
		by       tolerations
		selected bool
		reason   string
		next     time.Time
	}{
		{name: "a taint refuses", taint: plain, reason: "the taint gpu:NoSelect is not tolerated"},
		{name: "PreferNoSelect does not", taint: taint("", v1alpha1.TaintEffectPreferNoSelect)},
		{name: "NoSelectIfNew refuses what is new", taint: taint("a", ifNew), reason: "the taint gpu=a:NoSelectIfNew is not tolerated"},
		{name: "NoSelectIfNew keeps what is selected", taint: taint("a", ifNew), selected: true},
		{name: "Exists tolerates any value", taint: valued, by: tolerations{{Key: "gpu", Operator: v1alpha1.TolerationOpExists}}},
		{name: "Exists without a key tolerates everything", taint: valued, by: tolerations{{Operator: v1alpha1.TolerationOpExists}}},
		{name: "Equal tolerates the same value", taint: valued, by: tolerations{{Key: "gpu", Value: "a"}}},
		{name: "Equal does not tolerate another value", taint: valued, by: tolerations{{Key: "gpu", Value: "b"}}, reason: "is not tolerated"},
		{name: "an effect tolerates no other", taint: valued, by: tolerations{{Key: "gpu", Value: "a", Effect: ifNew}},
			reason: "is not tolerated"},
		{name: "a toleration lasts", taint: plain, by: tolerations{seconds(61)}, next: start.Add(time.Second)},
		{name: "a toleration ends at the very second", taint: plain, by: tolerations{seconds(60)}, reason: "is no longer tolerated"},
		{name: "a toleration that ended leaves room for another", taint: plain, by: tolerations{seconds(60), seconds(90)},
			next: start.Add(30 * time.Second)},
		{name: "a very long toleration lasts for ever", taint: plain, by: tolerations{seconds(1 << 62)}},
		{name: "a taint of unknown age is too old", taint: v1alpha1.ClusterTaint{Key: "gpu", Effect: noSelect},
			by: tolerations{seconds(1 << 40), seconds(60)}, reason: "is no longer tolerated"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cluster := Cluster{Taints: []v1alpha1.ClusterTaint{test.taint}}
			result, got := explainOne(t, v1alpha1.PlacementSpec{Tolerations: test.by}, cluster, test.selected)
			assert.Equal(t, test.reason == "", got.RefusedBy == "", got.Reason)
			assert.Contains(t, got.Reason, test.reason)
			assert.Equal(t, test.next, result.Next)
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, spec, want string }{
		{"a label that can't be", `predicates: [{requiredClusterSelector: {labelSelector: {matchLabels: {"-": ""}}}}]`,
			"spec.predicates[0].requiredClusterSelector.labelSelector"},
		{"an expression that is none", `predicates: [{requiredClusterSelector: {celSelector: {celExpressions: ["("]}}}]`,
			"celSelector.celExpressions[0]"},
		{"a requirement without bounds", `predicates: [{requiredClusterSelector: {scoreSelector: {requirements: [{name: cpu}]}}}]`,
			"one of atLeast and atMost"},
		{"a toleration of everything with a value", `tolerations: [{operator: Exists, value: x}]`, "spec.tolerations[0].value"},
		{"a toleration of no key", `tolerations: [{value: x}]`, "spec.tolerations[0].operator"},
		{"a prioritiser that is none", `prioritizerPolicy: {configurations: [{scoreCoordinate: {builtIn: balance}}]}`,
			`Unsupported value: "balance"`},
		{"a weight beyond bounds", `prioritizerPolicy: {configurations: [{scoreCoordinate: {builtIn: Balance}, weight: 11}]}`,
			"not from -10 to 10"},
		{"an add-on score without a name", `prioritizerPolicy: {configurations: [{scoreCoordinate: {type: AddOn}}]}`,
			"scoreCoordinate.addOn: Required"},
		{"a mode that is none", `prioritizerPolicy: {mode: x}`, "spec.prioritizerPolicy.mode"},
		{"a policy for missing scores that is none", `missingScore: x`, "spec.missingScore"},
		{"less than no cluster", `numberOfClusters: -1`, "spec.numberOfClusters"},
		{"an advantage below zero", `stabilization: {minimumAdvantage: -1}`, "spec.stabilization.minimumAdvantage"},
		{"a dwell time of more than a week", `stabilization: {dwellSeconds: 1099511627776}`, "spec.stabilization.dwellSeconds"},
		{"a topology of nothing", `spreadPolicy: {spreadConstraints: [{topologyKeyType: Label}]}`,
			"spreadConstraints[0].topologyKey: Required"},
		{"a skew of nothing", `spreadPolicy: {spreadConstraints: [{topologyKey: x, topologyKeyType: Label, maxSkew: 0}]}`,
			"spreadConstraints[0].maxSkew"},
		{"a group that is no label's value", `decisionStrategy: {groupStrategy: {decisionGroups: [{groupName: a b}]}}`,
			"decisionGroups[0].groupName"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var placement v1alpha1.Placement
			require.NoError(t, yaml.UnmarshalStrict([]byte(test.spec), &placement.Spec))
			policy, errs := Compile(&placement, nil)
			assert.Nil(t, policy)
			require.Len(t, errs, 1)
			assert.Contains(t, errs[0].Error(), test.want)
		})
	}
}
