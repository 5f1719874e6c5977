// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
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

// start is the time that tests begin at.
var start = time.Date(2026, time.September, 1, 12, 0, 0, 0, time.UTC)

// world makes up clusters, placements and changes. It keeps what the fleet was told last, to tell
// another one.
type world struct {
	*rand.Rand
	now       time.Time
	clusters  map[types.NamespacedName]Cluster
	decisions map[types.NamespacedName]Decision
}

// newWorld returns a world and a fleet after that number of changes.
func newWorld(seed uint64, changes int) (*world, *Fleet) {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, seed)), now: start,
		clusters: map[types.NamespacedName]Cluster{}, decisions: map[types.NamespacedName]Decision{},
	}
	fleet := NewFleet()
	for range changes {
		w.change(fleet)
	}
	return w, fleet
}

var itself = types.NamespacedName{Namespace: "team", Name: "it"}

// TestPlan_Remembering has one plan follow many changes. After each of them it has to decide, and
// explain, as a new one over a new fleet, which was told the same in another order, whether or not
// passes were cut short before.
func TestPlan_Remembering(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w, fleet := newWorld(seed, 0)
			for range w.IntN(60) {
				w.change(fleet)
			}
			policy := compile(t, w.spec())
			plan := NewPlan(fleet, policy)
			for step := range 60 {
				fresh, explained := NewPlan(w.shuffled(), policy).Explain(w.now)
				// A pass that is not to go on to its end leaves nothing out: the next one goes on from there.
				for range w.IntN(4) {
					left := w.IntN(10)
					plan.RunWhile(w.now, func() bool { left--; return left >= 0 })
				}
				assert.Equal(t, fresh, plan.Run(w.now), "step %d", step)
				_, explanations := plan.Explain(w.now)
				require.Equal(t, explained, explanations, "step %d", step)
				if w.IntN(2) == 0 {
					w.decide(fleet, itself, Decision{Clusters: fresh.Decisions, MovedAt: w.now})
				}
				for range w.IntN(3) {
					w.change(fleet)
				}
			}
		})
	}
}

// TestPlan_Next has time pass up to the instant that a pass named, where nothing else changes.
func TestPlan_Next(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w, fleet := newWorld(seed, 60)
		policy := compile(t, w.spec())
		now := NewPlan(fleet, policy).Run(w.now)
		if now.Next.IsZero() {
			now.Next = w.now.Add(1000 * time.Hour)
		}
		later := NewPlan(fleet, policy).Run(now.Next.Add(-1))
		assert.Equal(t, now.Decisions, later.Decisions, "seed %d", seed)
	}
}

// change makes one change. It returns that if it is one of a cluster, and whether a decision
// changed.
func (w *world) change(fleet *Fleet) (change *Change, decided bool) {
	switch w.IntN(12) {
	case 0:
		name := w.name()
		delete(w.clusters, name)
		return fleet.Delete(name), false
	case 1:
		w.now = w.now.Add(time.Duration(w.IntN(300)-30) * time.Second)
	case 2, 3:
		placement := types.NamespacedName{Namespace: "team", Name: "other-" + strconv.Itoa(w.IntN(4))}
		var decision Decision
		for range w.IntN(8) {
			decision.Clusters = append(decision.Clusters, w.name())
		}
		w.decide(fleet, placement, decision)
		return nil, true
	case 4, 5:
		// A heartbeat, and sometimes the shortest of changes.
		cluster, here := w.clusters[w.name()]
		if here {
			cluster.Labels = maps.Clone(cluster.Labels)
			cluster.Labels["beat"] = strconv.Itoa(w.IntN(2))
			if usage := cluster.Scores["usage"]; usage != nil {
				renewed := *usage
				renewed.ValidUntil = w.now.Add(time.Minute)
				cluster.Scores = map[string]*Figures{"usage": &renewed}
			}
			w.clusters[cluster.NamespacedName] = cluster
			return fleet.Set(cluster, w.now), false
		}
	default:
		cluster := w.cluster()
		w.clusters[cluster.NamespacedName] = cluster
		return fleet.Set(cluster, w.now), false
	}
	return nil, false
}

func (w *world) decide(fleet *Fleet, placement types.NamespacedName, decision Decision) {
	w.decisions[placement] = decision
	fleet.SetDecision(placement, decision)
}

// shuffled returns a fleet that was told the same, in another order.
func (w *world) shuffled() *Fleet {
	fleet := NewFleet()
	byName := func(a, b Cluster) int { return compareNames(a.NamespacedName, b.NamespacedName) }
	clusters := slices.SortedFunc(maps.Values(w.clusters), byName)
	w.Shuffle(len(clusters), func(i, j int) { clusters[i], clusters[j] = clusters[j], clusters[i] })
	half := w.IntN(len(clusters) + 1)
	for _, cluster := range clusters[:half] {
		fleet.Set(cluster, w.now)
	}
	for placement, decision := range w.decisions {
		fleet.SetDecision(placement, decision)
	}
	for _, cluster := range clusters[half:] {
		fleet.Set(cluster, w.now)
	}
	return fleet
}

// anyOf returns any of some values.
func anyOf[T any](w *world, of ...T) T { return of[w.IntN(len(of))] }

func (w *world) name() types.NamespacedName {
	return types.NamespacedName{Namespace: anyOf(w, "a", "b", "elsewhere"), Name: fmt.Sprintf("c%d", w.IntN(20))}
}

func (w *world) cluster() Cluster {
	c := Cluster{NamespacedName: w.name(), Labels: map[string]string{}, Properties: map[string]string{}, Scores: map[string]*Figures{}}
	if w.IntN(4) > 0 {
		c.Labels["region"] = strconv.Itoa(w.IntN(3))
	}
	if w.IntN(4) > 0 {
		c.Properties["zone"] = strconv.Itoa(w.IntN(3))
	}
	for range w.IntN(3) {
		taint := v1alpha1.ClusterTaint{Key: "k" + strconv.Itoa(w.IntN(2))}
		taint.Effect = anyOf(w, v1alpha1.TaintEffectNoSelect, v1alpha1.TaintEffectPreferNoSelect, v1alpha1.TaintEffectNoSelectIfNew)
		if w.IntN(3) > 0 {
			taint.TimeAdded = metav1.NewTime(w.now.Add(time.Duration(w.IntN(200)-100) * time.Second))
		}
		c.Taints = append(c.Taints, taint)
	}
	if w.IntN(5) > 0 {
		usage := &Figures{Scores: map[string]int32{"gpu": w.Int32N(201) - 100}}
		usage.Values = map[string]resource.Quantity{"cpu": *resource.NewQuantity(w.Int64N(20), resource.DecimalSI)}
		if w.IntN(3) > 0 {
			usage.ValidUntil = w.now.Add(time.Duration(w.IntN(200)-50) * time.Second)
		}
		c.Scores["usage"] = usage
	}
	return c
}

func (w *world) spec() v1alpha1.PlacementSpec {
	spec := scoreSpec("gpu", w.Int32N(8))
	if w.IntN(3) == 0 {
		spec.NumberOfClusters = nil
	}
	spec.PrioritizerPolicy.Mode = anyOf(w, v1alpha1.PrioritizerPolicyAdditive, v1alpha1.PrioritizerPolicyExact)
	spec.MissingScore = anyOf(w, v1alpha1.MissingScoreLast, v1alpha1.MissingScoreExclude, v1alpha1.MissingScoreZero)
	for _, name := range []string{v1alpha1.PrioritizerResourceAllocatableCPU, v1alpha1.PrioritizerSpread} {
		if w.IntN(2) == 0 {
			spec.PrioritizerPolicy.Configurations = append(spec.PrioritizerPolicy.Configurations, builtIn(name, w.Int32N(7)-3))
		}
	}
	if w.IntN(3) == 0 {
		enough := v1alpha1.ScoreRequirement{Name: "cpu", AtLeast: ptr.To(resource.MustParse("8"))}
		spec.Predicates = predicateSpec(byLabel("region", "1"), byScore(enough)).Predicates
	}
	for range w.IntN(3) {
		toleration := v1alpha1.ClusterToleration{Key: "k" + strconv.Itoa(w.IntN(2)), Operator: v1alpha1.TolerationOpExists}
		if w.IntN(2) == 0 {
			toleration.TolerationSeconds = ptr.To(w.Int64N(100))
		}
		spec.Tolerations = append(spec.Tolerations, toleration)
	}
	if w.IntN(3) == 0 {
		zone := v1alpha1.SpreadConstraint{TopologyKey: "zone", TopologyKeyType: v1alpha1.TopologyKeyClaim, MaxSkew: ptr.To[int32](2)}
		spec.SpreadPolicy.SpreadConstraints = []v1alpha1.SpreadConstraint{region, zone}
		spec.SpreadPolicy.SpreadConstraints[0].WhenUnsatisfiable = anyOf(w, v1alpha1.DoNotSchedule, v1alpha1.ScheduleAnyway)
	}
	if w.IntN(2) == 0 {
		spec.Stabilization = v1alpha1.Stabilization{MinimumAdvantage: w.Int64N(200), DwellSeconds: w.Int64N(60)}
	}
	return spec
}

// TestPlan_Untouched passes only where a change touches the policy, or at the instant that the plan
// named. In between, a new plan must not decide otherwise.
func TestPlan_Untouched(t *testing.T) {
	t.Parallel()
	untouched := 0
	for seed := range uint64(200) {
		w, fleet := newWorld(seed, 40)
		policy := compile(t, w.spec())
		plan := NewPlan(fleet, policy)
		// The decisions of other placements make a difference if Balance counts. The controller does not
		// need to know: they cause no pass.
		weighsOthers := slices.ContainsFunc(policy.prioritizers, func(p weighted) bool { return p.prioritizer == balance{} })
		last := plan.Run(w.now)
		next := last.Next
		for step := range 100 {
			before := w.now
			change, decided := w.change(fleet)
			if before.After(w.now) {
				w.now = before
			}
			due := !next.IsZero() && !w.now.Before(next)
			if due {
				next = plan.NextPass(w.now, unlimited)
				due = !next.IsZero() && !w.now.Before(next)
			}
			if due || decided && weighsOthers || change != nil && policy.AffectedBy(change) {
				last = plan.Run(w.now)
				next = last.Next
			} else {
				untouched++
			}
			want := NewPlan(fleet, policy).Run(w.now)
			want.Next, last.Next = time.Time{}, time.Time{}
			require.Equal(t, want, last, "seed %d, step %d", seed, step)
		}
	}
	assert.Greater(t, untouched, 2000)
}

// TestPlan_WorseCluster adds clusters that score less than all others. Whatever was selected stays,
// in its order.
func TestPlan_WorseCluster(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w, fleet := newWorld(seed, 0)
		for range 40 {
			cluster := w.cluster()
			cluster.Scores["usage"] = &Figures{Scores: map[string]int32{"gpu": w.Int32N(100)}}
			fleet.Set(cluster, w.now)
		}
		spec := scoreSpec("gpu", w.Int32N(30))
		spec.PrioritizerPolicy.Mode = v1alpha1.PrioritizerPolicyAdditive
		spec.Tolerations = []v1alpha1.ClusterToleration{{Operator: v1alpha1.TolerationOpExists}}
		plan := NewPlan(fleet, compile(t, spec))
		before := plan.Run(w.now)
		worse := scored(types.NamespacedName{Namespace: "a", Name: "0"}, -100)
		fleet.Set(worse, w.now)
		after := plan.Run(w.now)
		require.GreaterOrEqual(t, len(after.Decisions), len(before.Decisions))
		assert.Equal(t, before.Decisions, after.Decisions[:len(before.Decisions)], "seed %d", seed)

		// Nor does one of which nothing is known, by whatever name.
		worse.Scores = nil
		fleet.Set(worse, w.now)
		after = plan.Run(w.now)
		assert.Equal(t, before.Decisions, after.Decisions[:len(before.Decisions)], "seed %d", seed)
	}
}

// TestPlan_Steady has scores change at random while Steady weighs more than they can differ.
func TestPlan_Steady(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		w, _ := newWorld(seed, 0)
		fleet := scoredFleet(w.now, 30, func(int) int32 { return w.Int32N(201) - 100 })
		spec := scoreSpec("gpu", 5)
		spec.PrioritizerPolicy.Configurations = append(spec.PrioritizerPolicy.Configurations, builtIn(v1alpha1.PrioritizerSteady, 3))
		plan := NewPlan(fleet, compile(t, spec))
		first := plan.Run(w.now)
		fleet.SetDecision(itself, Decision{Clusters: first.Decisions, MovedAt: w.now})
		for range 20 {
			setScore(fleet, w.IntN(30), w.Int32N(201)-100)
			next := plan.Run(w.now)
			assert.ElementsMatch(t, first.Decisions, next.Decisions)
			assert.False(t, next.Moved)
			fleet.SetDecision(itself, Decision{Clusters: next.Decisions, MovedAt: w.now})
		}
	}
}

// TestPlan_Stabilization has all scores waver by less than the minimum advantage. What is selected
// first stays as it is, rank included; without stabilisation it moves.
func TestPlan_Stabilization(t *testing.T) {
	t.Parallel()
	for _, advantage := range []int64{0, 21} {
		moves := 0
		for seed := range uint64(20) {
			w, _ := newWorld(seed, 0)
			fleet := scoredFleet(w.now, 30, func(int) int32 { return w.Int32N(11) })
			spec := scoreSpec("gpu", 5)
			spec.Stabilization.MinimumAdvantage = advantage
			plan := NewPlan(fleet, compile(t, spec))
			first := plan.Run(w.now).Decisions
			for range 50 {
				fleet.SetDecision(itself, Decision{Clusters: first, MovedAt: w.now})
				setScore(fleet, w.IntN(30), w.Int32N(21))
				next := plan.Run(w.now).Decisions
				if !slices.Equal(first, next) {
					moves++
				}
				first = next
			}
		}
		if advantage > 0 {
			assert.Zero(t, moves)
		} else {
			assert.Greater(t, moves, 100)
		}
	}
}

// TestPlan_FixedPoint passes over random fleets until the decision was told: once it was, nothing
// moves.
func TestPlan_FixedPoint(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		w, fleet := newWorld(seed, 60)
		spec := w.spec()
		// A negative weight of Steady, or of Spread, asks for what moves.
		spec.PrioritizerPolicy.Configurations = spec.PrioritizerPolicy.Configurations[:1]
		plan := NewPlan(fleet, compile(t, spec))
		for range 2 {
			fleet.SetDecision(itself, Decision{Clusters: plan.Run(w.now).Decisions, MovedAt: w.now})
		}
		want := plan.Run(w.now)
		fleet.SetDecision(itself, Decision{Clusters: want.Decisions, MovedAt: w.now})
		got := plan.Run(w.now)
		assert.Equal(t, want.Decisions, got.Decisions, "seed %d", seed)
		assert.False(t, got.Moved, "seed %d", seed)
	}
}

// compile returns the policy of the placement that tests are about.
func compile(tb testing.TB, spec v1alpha1.PlacementSpec) *Policy {
	tb.Helper()
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: itself.Namespace, Name: itself.Name}, Spec: spec}
	policy, errs := Compile(placement, []string{"a", "b", "fleet"})
	require.Empty(tb, errs)
	return policy
}

func scoredFleet(now time.Time, size int, score func(i int) int32) *Fleet {
	fleet := NewFleet()
	for i := range size {
		fleet.Set(scored(clusterName(i), score(i)), now)
	}
	return fleet
}

func clusterName(i int) types.NamespacedName { return inFleet(fmt.Sprintf("cluster-%05d", i)) }

func setScore(fleet *Fleet, i int, score int32) { fleet.Set(scored(clusterName(i), score), start) }

func scored(name types.NamespacedName, score int32) Cluster {
	return Cluster{NamespacedName: name, Scores: map[string]*Figures{"usage": {Scores: map[string]int32{"gpu": score}}}}
}
