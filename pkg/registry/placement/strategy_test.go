// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func newPlacement() *v1alpha1.Placement {
	author := &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "kim", Groups: []string{"team"}}}
	placement := &v1alpha1.Placement{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "gpu", UID: "p-1", ResourceVersion: "1", Generation: 4},
		Spec:       v1alpha1.PlacementSpec{NumberOfClusters: ptr.To[int32](2), Author: author},
		Status:     v1alpha1.PlacementStatus{NumberOfSelectedClusters: 1},
	}
	v1alpha1.SetDefaults_Placement(placement)
	return placement
}

func as(t *testing.T, name string) context.Context {
	t.Helper()
	return genericapirequest.WithUser(t.Context(), &user.DefaultInfo{Name: name, UID: "u", Groups: []string{"g"}})
}

// The author is who creates a Placement.
func TestStrategy_PrepareForCreate(t *testing.T) {
	placement := newPlacement()
	strategy{}.PrepareForCreate(as(t, "sam"), placement)
	require.NotNil(t, placement.Spec.Author)
	assert.Equal(t, v1alpha1.Requester{Username: "sam", UID: "u", Groups: []string{"g"}}, placement.Spec.Author.Requester)
	assert.Equal(t, int64(1), placement.Generation)
	assert.Empty(t, placement.Status)

	strategy{}.PrepareForCreate(t.Context(), placement)
	assert.Nil(t, placement.Spec.Author, "nobody is the author where there is no user")
}

// The author is who changes the spec.
func TestStrategy_PrepareForUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		change     func(placement *v1alpha1.Placement)
		author     string
		generation int64
	}{
		"of the spec":           {func(p *v1alpha1.Placement) { p.Spec.ClusterSets = []string{"production"} }, "sam", 5},
		"not of labels":         {func(p *v1alpha1.Placement) { p.Labels = map[string]string{"a": "b"} }, "kim", 4},
		"not of the status":     {func(p *v1alpha1.Placement) { p.Status.NumberOfSelectedClusters = 7 }, "kim", 4},
		"not of the author":     {func(p *v1alpha1.Placement) { p.Spec.Author.Username = "admin" }, "kim", 4},
		"not who takes it away": {func(p *v1alpha1.Placement) { p.Spec.Author = nil }, "kim", 4},
		"also one who claims to": {func(p *v1alpha1.Placement) {
			p.Spec.ClusterSets, p.Spec.Author = []string{"production"}, &v1alpha1.Author{Requester: v1alpha1.Requester{Username: "admin"}}
		}, "sam", 5},
	} {
		t.Run(name, func(t *testing.T) {
			old, placement := newPlacement(), newPlacement()
			test.change(placement)
			strategy{}.PrepareForUpdate(as(t, "sam"), placement, old)
			assert.Equal(t, test.author, placement.Spec.Author.Username)
			assert.Equal(t, test.generation, placement.Generation)
			assert.Equal(t, int32(1), placement.Status.NumberOfSelectedClusters)
		})
	}
}

// An update of the status changes nothing else.
func TestStatusStrategy_PrepareForUpdate(t *testing.T) {
	old, placement := newPlacement(), newPlacement()
	placement.Spec.Author.Username, placement.Spec.NumberOfClusters = "admin", nil
	placement.Labels, placement.Status.NumberOfSelectedClusters = map[string]string{"a": "b"}, 3
	newStatusStrategy(nil).PrepareForUpdate(as(t, "sam"), placement, old)
	assert.Equal(t, old.Spec, placement.Spec)
	assert.Empty(t, placement.Labels)
	assert.Equal(t, int32(3), placement.Status.NumberOfSelectedClusters)
}

// Nobody owns the author.
func TestStrategy_ResetFields(t *testing.T) {
	for _, fields := range newStrategy(nil).GetResetFields() {
		assert.Contains(t, fields.String(), ".spec.author")
	}
}

// predicates returns a spec with a predicate for each selector, as a user would write it.
func predicates(selectors ...string) string {
	const begin, end = "{requiredClusterSelector: {", "}}"
	return "predicates: [" + begin + strings.Join(selectors, end+", "+begin) + end + "]"
}

// expressions returns a selector.
func expressions(texts ...string) string {
	quoted, _ := json.Marshal(texts)
	return "celSelector: {celExpressions: " + string(quoted) + "}"
}

func requirement(of string) string {
	return predicates("scoreSelector: {requirements: [{" + of + "}]}")
}

func configuration(of string) string { return "prioritizerPolicy: {configurations: [{" + of + "}]}" }

// What a Placement may not say.
func TestStrategy_Validate(t *testing.T) {
	const selector, config = "spec.predicates[0].requiredClusterSelector", "spec.prioritizerPolicy.configurations[0]"
	const cel = selector + ".celSelector.celExpressions[0]"
	tooLong := "true" + strings.Repeat(" ", v1alpha1.MaxCelExpressionLength)
	// longest is not too long by itself.
	longest, many := tooLong[:v1alpha1.MaxCelExpressionLength], strings.Repeat("{}, ", v1alpha1.MaxPlacementItems+1)
	// most is one less than all may be.
	var most []string
	for i := range v1alpha1.MaxCelExpressions - 1 {
		most = append(most, strconv.Itoa(i)+" > 0")
	}
	for name, test := range map[string]struct{ spec, field string }{
		"a negative number of clusters":         {"numberOfClusters: -1", "spec.numberOfClusters"},
		"a cluster set twice":                   {"clusterSets: [a, a]", "spec.clusterSets[1]"},
		"a cluster set whose name is none":      {`clusterSets: ["-"]`, "spec.clusterSets[0]"},
		"an expression that does not compile":   {predicates(expressions("clusterProfile.")), cel},
		"an expression that is a number":        {predicates(expressions("1 + 1")), cel},
		"an expression that is a text":          {predicates(expressions("'true'")), cel},
		"an expression about what is not known": {predicates(expressions("scores('usage')[0] > 1")), cel},
		"an expression that is too long":        {predicates(expressions(tooLong)), cel},
		"a label selector that is none":         {predicates(`labelSelector: {matchLabels: {"-": ""}}`), selector + ".labelSelector"},
		"bounds that nothing is within": {requirement(`name: cpu, atLeast: "2", atMost: "1"`),
			selector + ".scoreSelector.requirements[0].atMost"},
		"a requirement without a name": {requirement(`atLeast: "2"`), selector + ".scoreSelector.requirements[0].name"},
		"a requirement without bounds": {requirement("name: cpu"), selector + ".scoreSelector.requirements[0]"},
		"a prioritiser that is not known": {configuration("scoreCoordinate: {builtIn: Fastest}, weight: 1"),
			config + ".scoreCoordinate.builtIn"},
		"a weight that is too great":  {configuration("scoreCoordinate: {builtIn: Steady}, weight: 11"), config + ".weight"},
		"a weight that is too little": {configuration("scoreCoordinate: {builtIn: Steady}, weight: -11"), config + ".weight"},
		"an add-on without a score": {configuration("scoreCoordinate: {type: AddOn, addOn: {resourceName: usage}}"),
			config + ".scoreCoordinate.addOn.scoreName"},
		"a way with missing scores that is none": {"missingScore: Best", "spec.missingScore"},
		"a toleration of an effect that is none": {"tolerations: [{key: a, operator: Exists, effect: NoSchedule}]", "spec.tolerations[0].effect"},
		"a toleration of a key that is none":     {`tolerations: [{key: "-", operator: Exists}]`, "spec.tolerations[0].key"},
		"groups of no part of the clusters": {`decisionStrategy: {groupStrategy: {clustersPerDecisionGroup: "0%"}}`,
			"spec.decisionStrategy.groupStrategy.clustersPerDecisionGroup"},
		"more predicates than may be":            {"predicates: [" + many + "]", "spec.predicates"},
		"more tolerations than may be":           {"tolerations: [" + many + "]", "spec.tolerations"},
		"more expressions than may be, in all":   {predicates(expressions(most...), expressions(most...)), "spec.predicates"},
		"longer expressions than may be, in all": {predicates(expressions(longest, longest, longest, longest)), "spec.predicates"},
		"an expression that puts text together":  {predicates(expressions(`clusterProfile.metadata.name.replace("", "aa") == ""`)), cel},
		"a constraint of a label whose name is none": {
			`spreadPolicy: {spreadConstraints: [{topologyKey: "-", topologyKeyType: Label, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]}`,
			"spec.spreadPolicy.spreadConstraints[0].topologyKey",
		},
	} {
		t.Run(name, func(t *testing.T) {
			placement := newPlacement()
			require.NoError(t, yaml.UnmarshalStrict([]byte(test.spec), &placement.Spec))
			v1alpha1.SetDefaults_Placement(placement)
			assert.ErrorContains(t, strategy{}.Validate(t.Context(), placement).ToAggregate(), test.field+": ")
			assert.Empty(t, strategy{}.ValidateUpdate(t.Context(), placement, placement), "what is stored can be labelled, whatever it says")
		})
	}
}

// The name is one that a label can hold.
func TestStrategy_ValidateName(t *testing.T) {
	placement := newPlacement()
	placement.Name = strings.Repeat("a", 64)
	errs := strategy{}.Validate(t.Context(), placement)
	require.Len(t, errs, 1)
	assert.Equal(t, "metadata.name", errs[0].Field)
}

func TestStrategy_Examples(t *testing.T) {
	files, err := filepath.Glob("../../../artifacts/examples/placement/*.yaml")
	require.NoError(t, err)
	placements := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		placement := &v1alpha1.Placement{}
		if yaml.UnmarshalStrict(data, placement) != nil || placement.Kind != "Placement" {
			continue
		}
		placements++
		v1alpha1.SetDefaults_Placement(placement)
		assert.Empty(t, strategy{}.Validate(t.Context(), placement), file)
	}
	assert.Equal(t, 4, placements)
}

// What a status may not say.
func TestStatusStrategy_ValidateUpdate(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.PlacementStatus)
		field  string
	}{
		"less than no cluster": {func(s *v1alpha1.PlacementStatus) { s.NumberOfEligibleClusters = -1 }, "status.numberOfEligibleClusters"},
		"a group twice": {func(s *v1alpha1.PlacementStatus) { s.DecisionGroups = make([]v1alpha1.DecisionGroupStatus, 2) },
			"status.decisionGroups[1].decisionGroupIndex"},
		"a condition without a type": {func(s *v1alpha1.PlacementStatus) { s.Conditions = make([]metav1.Condition, 1) },
			"status.conditions[0].type"},
	} {
		t.Run(name, func(t *testing.T) {
			placement := newPlacement()
			test.change(&placement.Status)
			assert.ErrorContains(t, newStatusStrategy(nil).ValidateUpdate(t.Context(), placement, nil).ToAggregate(), test.field+": ")
		})
	}
}

func TestTable(t *testing.T) {
	placement := newPlacement()
	assert.Equal(t, []any{"Unknown", int64(1), int64(0), int64(0), "kim"}, cells(placement))
	satisfied := metav1.Condition{Type: v1alpha1.PlacementSatisfied, Status: metav1.ConditionFalse, Reason: "NoClusterMatched"}
	placement.Status.Conditions = []metav1.Condition{satisfied}
	placement.Spec.Author = nil
	assert.Equal(t, []any{"NoClusterMatched", int64(1), int64(0), int64(0), "<none>"}, cells(placement))
	placement.Status.Conditions[0].Status = metav1.ConditionTrue
	assert.Equal(t, "True", cells(placement)[0])
	assert.Len(t, columns, len(cells(placement)))
}
