// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// benchmark is a placement of 10 clusters over a fleet, and one change that it sees.
type benchmark struct {
	name string
	spec v1alpha1.PlacementSpec
	// others is how many other placements have selected 10 clusters each.
	others int
	change func(fleet *Fleet, i int)
}

func benchmarks() []benchmark {
	labels := v1alpha1.PlacementSpec{NumberOfClusters: ptr.To[int32](10)}
	labels.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: v1alpha1.ClusterSelector{
		LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"half": "yes"}},
	}}}
	return []benchmark{
		{name: "Labels", spec: labels, change: func(fleet *Fleet, i int) {
			cluster := benchmarkCluster(5)
			cluster.Labels["half"] = []string{"yes", "no"}[i%2]
			fleet.Set(cluster, time.Time{})
		}},
		{name: "Score", spec: scoreSpec("gpu", 10), change: func(fleet *Fleet, i int) {
			cluster := benchmarkCluster(5)
			cluster.Scores["usage"] = &Figures{Scores: map[string]int32{"gpu": []int32{-100, 100}[i%2]}}
			fleet.Set(cluster, time.Time{})
		}},
		{name: "Additive", spec: v1alpha1.PlacementSpec{NumberOfClusters: ptr.To[int32](10)}, others: 1000, change: func(fleet *Fleet, i int) {
			fleet.SetDecision(types.NamespacedName{Namespace: "other", Name: "0"}, Decision{Clusters: clusterNames(i%2, 10)})
		}},
	}
}

// BenchmarkPlacement measures a first pass with Full, with Cold one together with what comes before it, reading in the fleet, and
// with Incremental a pass after one change.
func BenchmarkPlacement(b *testing.B) {
	for _, bench := range benchmarks() {
		for _, size := range []int{100, 1000, 10000} {
			fleet := bench.fleet(size)
			policy, errs := Compile(&v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "it"}, Spec: bench.spec}, []string{"fleet"})
			require.Empty(b, errs)
			now := time.Now()
			b.Run(fmt.Sprintf("%s/%d/Cold", bench.name, size), func(b *testing.B) {
				for b.Loop() {
					NewPlan(bench.fleet(size), policy).Run(now)
				}
			})
			b.Run(fmt.Sprintf("%s/%d/Full", bench.name, size), func(b *testing.B) {
				for b.Loop() {
					NewPlan(fleet, policy).Run(now)
				}
			})
			b.Run(fmt.Sprintf("%s/%d/Incremental", bench.name, size), func(b *testing.B) {
				plan := NewPlan(fleet, policy)
				plan.Run(now)
				for i := 0; b.Loop(); i++ {
					bench.change(fleet, i)
					plan.Run(now)
				}
			})
		}
	}
}

func (bench *benchmark) fleet(size int) *Fleet {
	fleet := NewFleet()
	for i := range size {
		fleet.Set(benchmarkCluster(i), time.Time{})
	}
	for i := range bench.others {
		// Some clusters are named more often than others.
		at := i * i % max(size-10, 1)
		fleet.SetDecision(types.NamespacedName{Namespace: "other", Name: strconv.Itoa(i)}, Decision{Clusters: clusterNames(at, 10)})
	}
	return fleet
}

func benchmarkCluster(i int) Cluster {
	return Cluster{
		NamespacedName: clusterName(i),
		Labels:         map[string]string{"half": []string{"yes", "no"}[i%2], "region": strconv.Itoa(i % 10), "env": "prod", "team": "a"},
		Scores:         map[string]*Figures{"usage": {Scores: map[string]int32{"gpu": int32(i*7919%201 - 100)}}},
	}
}

func clusterName(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "fleet", Name: fmt.Sprintf("cluster-%05d", i)}
}

func clusterNames(from, count int) []types.NamespacedName {
	names := make([]types.NamespacedName, count)
	for i := range names {
		names[i] = clusterName(from + i)
	}
	return names
}

// scoreSpec returns the spec of a placement that weighs one score of usage and nothing else.
func scoreSpec(name string, number int32) v1alpha1.PlacementSpec {
	return v1alpha1.PlacementSpec{
		NumberOfClusters: ptr.To(number),
		PrioritizerPolicy: v1alpha1.PrioritizerPolicy{
			Mode: v1alpha1.PrioritizerPolicyExact,
			Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{
				Type:  v1alpha1.ScoreCoordinateAddOn,
				AddOn: &v1alpha1.AddOnScore{ResourceName: "usage", ScoreName: name},
			}}},
		},
	}
}
