// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// inFleet returns the full name of a cluster.
func inFleet(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "fleet", Name: name}
}

// scoreSpec returns the spec of a placement that weighs one score of usage and nothing else.
func scoreSpec(name string, number int32) v1alpha1.PlacementSpec {
	addOn := &v1alpha1.AddOnScore{ResourceName: "usage", ScoreName: name}
	coordinate := v1alpha1.ScoreCoordinate{Type: v1alpha1.ScoreCoordinateAddOn, AddOn: addOn}
	spec := v1alpha1.PlacementSpec{NumberOfClusters: ptr.To(number)}
	spec.PrioritizerPolicy.Mode = v1alpha1.PrioritizerPolicyExact
	spec.PrioritizerPolicy.Configurations = []v1alpha1.PrioritizerConfig{{ScoreCoordinate: coordinate}}
	return spec
}

// builtIn returns the configuration of a prioritiser that is not an add-on's.
func builtIn(name string, weight int32) v1alpha1.PrioritizerConfig {
	return v1alpha1.PrioritizerConfig{ScoreCoordinate: v1alpha1.ScoreCoordinate{BuiltIn: name}, Weight: &weight}
}

// expired stands for a score that has expired, which is the greatest of all.
const expired = 100

// fleetOf returns clusters that are called a, b, c and so on, with these scores.
func fleetOf(scores ...int32) *Fleet {
	fleet := NewFleet()
	for i, score := range scores {
		cluster := scored(inFleet(string(rune('a'+i))), score)
		if score == expired {
			cluster.Scores["usage"].ValidUntil = start.Add(-1)
		}
		fleet.Set(cluster, start)
	}
	return fleet
}

// decided returns the names of the decisions, without anything in between.
func decided(result Result) string { return strings.Join(names(result.Decisions), "") }

// selected tells the fleet that the placement has selected clusters, some time before the start of
// tests.
func selected(fleet *Fleet, clusters string, ago time.Duration) {
	decision := Decision{MovedAt: start.Add(-ago)}
	for _, name := range clusters {
		decision.Clusters = append(decision.Clusters, inFleet(string(name)))
	}
	fleet.SetDecision(itself, decision)
}

func TestMissingScores(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy v1alpha1.MissingScorePolicy
		weight int32
		want   string
		stale  int
	}{
		{policy: "", weight: 1, want: "cdab", stale: 1},
		{policy: v1alpha1.MissingScoreLast, weight: 1, want: "cdab", stale: 1},
		{policy: v1alpha1.MissingScoreLast, weight: -1, want: "dcab", stale: 1},
		{policy: v1alpha1.MissingScoreExclude, weight: 1, want: "cd"},
		{policy: v1alpha1.MissingScoreZero, weight: 1, want: "cabd", stale: 1},
	} {
		t.Run(string(test.policy), func(t *testing.T) {
			t.Parallel()
			fleet := fleetOf(expired, 0, 10, -10)
			fleet.Set(Cluster{NamespacedName: inFleet("b")}, start)
			spec := scoreSpec("gpu", 4)
			spec.PrioritizerPolicy.Configurations[0].Weight = &test.weight
			spec.MissingScore = test.policy
			result, explanations := NewPlan(fleet, compile(t, spec)).Explain(start)
			assert.Equal(t, test.want, decided(result))
			assert.Equal(t, test.stale, result.Stale, "one that never was there is not stale")
			assert.Equal(t, 4-len(test.want), result.Unscheduled)
			if test.policy == v1alpha1.MissingScoreExclude {
				want := Explanation{Cluster: inFleet("a"), RefusedBy: FilterMissingScore, Reason: "not known: AddOn/usage/gpu", Rank: -1, Selected: -1}
				assert.Equal(t, want, explanations[0])
			} else {
				assert.Equal(t, []Score{{Prioritizer: "AddOn/usage/gpu", Weight: int64(test.weight)}}, explanations[0].Scores)
			}
		})
	}
}

// A score goes stale, and is renewed.
func TestPlan_StaleScore(t *testing.T) {
	t.Parallel()
	fleet := fleetOf(20, 10)
	best := scored(inFleet("a"), 20)
	best.Scores["usage"].ValidUntil = start.Add(time.Minute)
	fleet.Set(best, start)
	plan := NewPlan(fleet, compile(t, scoreSpec("gpu", 2)))

	result := plan.Run(start)
	assert.Equal(t, "ab", decided(result))
	stale := start.Add(time.Minute + 1)
	assert.Equal(t, stale, result.Next)
	assert.Equal(t, "ab", decided(plan.Run(stale.Add(-1))), "a score is valid up to and including its last instant")
	result = plan.Run(stale)
	assert.Equal(t, "ba", decided(result))
	assert.Equal(t, 1, result.Stale)

	renewed := scored(inFleet("a"), 20)
	renewed.Scores["usage"].ValidUntil = stale.Add(time.Minute)
	assert.NotNil(t, fleet.Set(renewed, stale), "what was unknown is known again")
	assert.Equal(t, "ab", decided(plan.Run(stale)))
}

// A heartbeat means nothing.
func TestFleet_SetHeartbeat(t *testing.T) {
	t.Parallel()
	fleet := NewFleet()
	cluster := func(validUntil time.Time) Cluster {
		usage := &Figures{Values: map[string]resource.Quantity{"cpu": resource.MustParse("1000m")}, ValidUntil: validUntil}
		return Cluster{NamespacedName: inFleet("a"), Labels: map[string]string{"env": "prod"}, Scores: map[string]*Figures{"usage": usage}}
	}
	assert.NotNil(t, fleet.Set(cluster(start.Add(time.Minute)), start), "a new cluster")
	assert.Nil(t, fleet.Set(cluster(start.Add(2*time.Minute)), start.Add(time.Minute)), "figures that are renewed in time")
	same := cluster(start.Add(3 * time.Minute))
	same.Scores["usage"].Values["cpu"] = resource.MustParse("1")
	assert.Nil(t, fleet.Set(same, start), "the same amount in other words")
	other := cluster(start.Add(3 * time.Minute))
	other.Labels["env"] = "dev"
	assert.NotNil(t, fleet.Set(other, start), "another label")
	assert.NotNil(t, fleet.Delete(inFleet("a")))
	assert.Nil(t, fleet.Delete(inFleet("a")), "nothing is left to delete")
	assert.Empty(t, fleet.byName)
}

func TestPrioritizers_BuiltIn(t *testing.T) {
	t.Parallel()
	const exact = v1alpha1.PrioritizerPolicyExact
	type configs = []v1alpha1.PrioritizerConfig
	for _, test := range []struct {
		name    string
		mode    v1alpha1.PrioritizerPolicyMode
		configs configs
		// totals are those of a, b, c and d.
		totals []int64
	}{
		{"by default Balance and Steady count alike", "", nil, []int64{0, 118, 100, 100}},
		{"in exact mode nothing else counts", exact, configs{builtIn("Steady", 2)}, []int64{200, 200, 0, 0}},
		{"what is turned off does not count", "", configs{builtIn("Balance", 0)}, []int64{100, 100, 0, 0}},
		{"of a prioritiser that is listed twice the last one counts", "",
			configs{builtIn("Balance", 5), builtIn("Balance", 0)}, []int64{100, 100, 0, 0}},
		{"a name that is turned off may be any", exact, configs{builtIn("balance", 0)}, []int64{0, 0, 0, 0}},
		{"most that is free scores 100, least -100, what is unknown nothing", exact,
			configs{builtIn("ResourceAllocatableCPU", 1)}, []int64{-100, 39, 100, 0}},
		{"a resource that one cluster has scores 100", exact, configs{builtIn("ResourceAllocatableMemory", 1)}, []int64{100, 0, 0, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fleet := NewFleet()
			for i, cpu := range []string{"0", "7", "10", ""} {
				cluster := Cluster{NamespacedName: inFleet(string(rune('a' + i))), Scores: map[string]*Figures{}}
				if cpu != "" {
					cluster.Scores["usage"] = &Figures{Values: map[string]resource.Quantity{"cpu": resource.MustParse(cpu)}}
				}
				if i == 0 {
					cluster.Scores["usage"].Values["memory"] = resource.MustParse("1Gi")
				}
				fleet.Set(cluster, start)
			}
			// Of other placements five name a, and two b.
			selected(fleet, "ab", 0)
			for i := range 5 {
				decision := Decision{Clusters: []types.NamespacedName{inFleet("a")}}
				if i < 2 {
					decision.Clusters = append(decision.Clusters, inFleet("b"))
				}
				fleet.SetDecision(types.NamespacedName{Namespace: "other", Name: string(rune('0' + i))}, decision)
			}
			policy := v1alpha1.PrioritizerPolicy{Mode: test.mode, Configurations: test.configs}
			spec := v1alpha1.PlacementSpec{PrioritizerPolicy: policy, MissingScore: v1alpha1.MissingScoreZero}
			_, explanations := NewPlan(fleet, compile(t, spec)).Explain(start)
			totals := make([]int64, len(explanations))
			for i := range explanations {
				totals[i] = explanations[i].Total
			}
			assert.Equal(t, test.totals, totals)
		})
	}
}

func TestStabilization(t *testing.T) {
	t.Parallel()
	inAMinute := start.Add(time.Minute)
	for _, test := range []struct {
		name             string
		fleet            *Fleet
		number           int32
		advantage, dwell int64
		missing          v1alpha1.MissingScorePolicy
		from, to         string
		ago              time.Duration
		moved            bool
		next             time.Time
	}{
		{name: "without it the better one is selected", fleet: fleetOf(10, 11), number: 1, from: "a", to: "b", moved: true},
		{name: "too small an advantage moves nothing", fleet: fleetOf(10, 19), number: 1, advantage: 10, from: "a", to: "a"},
		{name: "the advantage itself is enough", fleet: fleetOf(20, 10), number: 1, advantage: 10, from: "b", to: "a", moved: true},
		{name: "the worst of those selected is replaced", fleet: fleetOf(5, 20, 15), number: 2, advantage: 10, from: "ab", to: "bc", moved: true},
		{name: "an advantage is needed for a rank, too", fleet: fleetOf(10, 19), number: 2, advantage: 10, from: "ab", to: "ab"},
		{name: "and is enough for it", fleet: fleetOf(10, 20), number: 2, advantage: 10, from: "ab", to: "ba"},
		{name: "what is selected anew goes where it ranks", fleet: fleetOf(10, 12, 13), number: 3, advantage: 10,
			from: "ab", to: "cab", moved: true},
		{name: "a cluster dwells", fleet: fleetOf(10, 90), number: 1, dwell: 60, from: "a", ago: time.Minute - 1, to: "a", next: start.Add(1)},
		{name: "until its time is up", fleet: fleetOf(10, 90), number: 1, dwell: 60, from: "a", ago: time.Minute, to: "b", moved: true},
		{name: "dwelling clusters may change ranks", fleet: fleetOf(10, 90), number: 2, dwell: 60, from: "ab", to: "ba", next: inAMinute},
		{name: "a place that is free is taken", fleet: fleetOf(10, 11), number: 2, advantage: 100, dwell: 60,
			from: "a", to: "ba", moved: true, next: inAMinute},
		{name: "fewer clusters leave the better ones", fleet: fleetOf(10, 11), number: 1, advantage: 100, dwell: 60,
			from: "ab", to: "b", moved: true, next: inAMinute},
		{name: "what is known replaces what is unknown", fleet: fleetOf(expired, -100), number: 1, advantage: 1000,
			from: "a", to: "b", moved: true},
		{name: "but not while that dwells", fleet: fleetOf(expired, -100), number: 1, dwell: 60, from: "a", to: "a", next: inAMinute},
		{name: "hard needs wait for nothing", fleet: fleetOf(expired, -100), number: 1, dwell: 60, missing: v1alpha1.MissingScoreExclude,
			from: "a", to: "b", moved: true, next: inAMinute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			selected(test.fleet, test.from, test.ago)
			spec := scoreSpec("gpu", test.number)
			spec.Stabilization = v1alpha1.Stabilization{MinimumAdvantage: test.advantage, DwellSeconds: test.dwell}
			spec.MissingScore = test.missing
			result := NewPlan(test.fleet, compile(t, spec)).Run(start)
			assert.Equal(t, test.to, decided(result))
			assert.Equal(t, test.moved, result.Moved)
			assert.Equal(t, test.next, result.Next)
		})
	}
}

func TestPlan_Explain(t *testing.T) {
	t.Parallel()
	fleet := fleetOf(1, 3, 2)
	fleet.Set(Cluster{NamespacedName: types.NamespacedName{Namespace: "not-asked-for", Name: "z"}}, start)
	result, explanations := NewPlan(fleet, compile(t, scoreSpec("gpu", 2))).Explain(start)
	require.Len(t, explanations, 3)
	assert.Equal(t, "bc", decided(result))
	assert.Equal(t, 3, result.Candidates)
	assert.Equal(t, 3, result.Eligible)
	scores := []Score{{Prioritizer: "AddOn/usage/gpu", Weight: 1, Score: 2, Known: true}}
	assert.Equal(t, Explanation{Cluster: inFleet("c"), Scores: scores, Total: 2, Rank: 1, Selected: 1}, explanations[2])
	assert.Equal(t, 2, explanations[0].Rank)
	assert.Empty(t, explanations[0].RefusedBy)
	assert.Equal(t, -1, explanations[0].Selected)
}

// Why a cluster is not selected.
func TestPlan_ExplainNotSelected(t *testing.T) {
	t.Parallel()
	const enough = "enough others rank before it"
	strict := []v1alpha1.SpreadConstraint{region}
	strict[0].WhenUnsatisfiable = v1alpha1.DoNotSchedule
	for _, test := range []struct {
		name   string
		spread []v1alpha1.SpreadConstraint
		by     v1alpha1.Stabilization
		number int32
		before string
		// reasons are those of a, b and c, which score 1, 2 and 3, and of d, if it is there, which scores
		// 0.
		reasons []string
	}{
		{name: "others are better", number: 2, reasons: []string{enough, "", ""}},
		{name: "the selected ones dwell", number: 1, by: v1alpha1.Stabilization{DwellSeconds: 60}, before: "b",
			reasons: []string{enough, "", "selected clusters keep their places for dwellSeconds"}},
		{name: "it is not better by enough", number: 1, by: v1alpha1.Stabilization{MinimumAdvantage: 9}, before: "b",
			reasons: []string{enough, "", "it is not better than any selected cluster by minimumAdvantage"}},
		{name: "its region is full", number: 4, spread: strict, reasons: []string{"", "", "", "its topology has as many as maxSkew allows"}},
		{name: "others spread better", number: 2, spread: strict, reasons: []string{"", "others spread better", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			fleet := NewFleet()
			for i, name := range []string{"a", "b", "c", "d"}[:len(test.reasons)] {
				cluster := scored(inFleet(name), int32(i+1)%4)
				cluster.Labels = map[string]string{"region": []string{"x", "y", "y", "y"}[i]}
				fleet.Set(cluster, start)
			}
			selected(fleet, test.before, 0)
			spec := scoreSpec("gpu", test.number)
			spec.SpreadPolicy.SpreadConstraints, spec.Stabilization = test.spread, test.by
			_, explanations := NewPlan(fleet, compile(t, spec)).Explain(start)
			var reasons []string
			for i := range explanations {
				reasons = append(reasons, explanations[i].Reason)
			}
			assert.Equal(t, test.reasons, reasons)
		})
	}
}

// Passes and changes at once.
func TestFleet_Concurrency(t *testing.T) {
	t.Parallel()
	fleet := scoredFleet(start, 600, func(i int) int32 { return int32(i % 100) })
	policy := compile(t, scoreSpec("gpu", 10))
	var all sync.WaitGroup
	for worker := range 4 {
		plan, balanced := NewPlan(fleet, policy), NewPlan(fleet, compile(t, v1alpha1.PlacementSpec{}))
		all.Go(func() {
			for i := range 50 {
				result := plan.Run(start)
				assert.Len(t, result.Decisions, 10)
				assert.NotEmpty(t, balanced.Run(start).Decisions)
				setScore(fleet, worker*50+i, int32(i))
				fleet.Delete(clusterName(300 + worker*50 + i))
				fleet.SetDecision(types.NamespacedName{Namespace: "team", Name: string(rune('a' + worker))}, Decision{Clusters: result.Decisions})
			}
			setScore(fleet, worker*50, 100)
		})
	}
	all.Wait()
	assert.Len(t, fleet.byName, 400)
	result := NewPlan(fleet, policy).Run(start)
	assert.Equal(t, []types.NamespacedName{clusterName(0), clusterName(50), clusterName(100), clusterName(150)}, result.Decisions[:4])
}
