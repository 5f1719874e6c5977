// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// selected is how many clusters the placements select whose passes are measured.
	selected = 10
	// otherPlacements is how many others have decided where their decisions count.
	otherPlacements = 1000
)

// fleetSizes are the fleets that a placement is decided upon over.
var fleetSizes = []int{100, 1000, 10_000}

// shape is a placement over a fleet, and one change that it sees.
type shape struct {
	name string
	spec v1alpha1.PlacementSpec
	// others is how many other placements have selected clusters.
	others int
	change func(fleet *scheduling.Fleet, i int)
}

// shapes returns what is measured: a label that half of the clusters have, one score that ranks
// them, and what placements have by default, where each decision of another moves the score of
// every cluster.
func shapes() []shape {
	balanced := v1alpha1.PlacementSpec{NumberOfClusters: ptr.To[int32](selected)}
	labels := balanced
	labels.Predicates = []v1alpha1.ClusterPredicate{{RequiredClusterSelector: v1alpha1.ClusterSelector{
		LabelSelector: metav1.LabelSelector{MatchLabels: map[string]string{"half": "yes"}},
	}}}
	return []shape{
		{name: "by a label", spec: labels, change: func(fleet *scheduling.Fleet, i int) {
			cluster := schedulingCluster(5)
			cluster.Labels["half"] = []string{"yes", "no"}[i%2]
			fleet.Set(cluster, time.Time{})
		}},
		{name: "by a score", spec: rankedBy("usage", "gpu", selected), change: func(fleet *scheduling.Fleet, i int) {
			cluster := schedulingCluster(5)
			cluster.Scores["usage"] = &scheduling.Figures{Scores: map[string]int32{"gpu": []int32{-100, 100}[i%2]}}
			fleet.Set(cluster, time.Time{})
		}},
		{name: "balanced", spec: balanced, others: otherPlacements, change: func(fleet *scheduling.Fleet, i int) {
			fleet.SetDecision(otherName(0), scheduling.Decision{Clusters: schedulingNames(i%2, selected)})
		}},
	}
}

// rankedBy returns the spec of a placement that weighs one score and nothing else.
func rankedBy(resource, score string, number int32) v1alpha1.PlacementSpec {
	return v1alpha1.PlacementSpec{
		NumberOfClusters: ptr.To(number),
		PrioritizerPolicy: v1alpha1.PrioritizerPolicy{
			Mode: v1alpha1.PrioritizerPolicyExact,
			Configurations: []v1alpha1.PrioritizerConfig{{ScoreCoordinate: v1alpha1.ScoreCoordinate{
				Type: v1alpha1.ScoreCoordinateAddOn, AddOn: &v1alpha1.AddOnScore{ResourceName: resource, ScoreName: score},
			}}},
		},
	}
}

func (s *shape) fleet(size int) *scheduling.Fleet {
	fleet := scheduling.NewFleet()
	for i := range size {
		fleet.Set(schedulingCluster(i), time.Time{})
	}
	for i := range s.others {
		// Some clusters are named more often than others.
		at := i * i % max(size-selected, 1)
		fleet.SetDecision(otherName(i), scheduling.Decision{Clusters: schedulingNames(at, selected)})
	}
	return fleet
}

func otherName(i int) types.NamespacedName {
	return types.NamespacedName{Namespace: "other", Name: strconv.Itoa(i)}
}

func schedulingCluster(i int) scheduling.Cluster {
	return scheduling.Cluster{
		NamespacedName: schedulingNames(i, 1)[0],
		Labels:         map[string]string{"half": []string{"yes", "no"}[i%2], "region": strconv.Itoa(i % 10), "env": "prod", "team": "a"},
		Scores:         map[string]*scheduling.Figures{"usage": {Scores: map[string]int32{"gpu": int32(i*7919%201 - 100)}}},
	}
}

func schedulingNames(from, count int) []types.NamespacedName {
	names := make([]types.NamespacedName, count)
	for i := range names {
		names[i] = types.NamespacedName{Namespace: fleetNamespace, Name: profileName(from + i)}
	}
	return names
}

// passShare is the part of -duration that passes are measured for: nothing but the machine disturbs
// them.
const passShare = 4

// measurePasses compares, for each shape and size, a pass after one change with one that looks at
// every cluster.
func measurePasses(ctx context.Context, s settings) ([]comparison, error) {
	var all []comparison
	short := s
	short.duration /= passShare
	for _, shape := range shapes() {
		for _, size := range fleetSizes {
			s.progress("placements: passes of one %s over %d clusters", shape.name, size)
			sides, err := shape.sides(size)
			if err != nil {
				return nil, err
			}
			c, err := short.timed(measurement{name: fmt.Sprintf("%s, %d clusters", shape.name, size), concurrency: 1, sides: sides}).run(ctx)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

func (s *shape) sides(size int) ([2]workload, error) {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "it"}, Spec: s.spec}
	policy, mistakes := scheduling.Compile(placement, []string{fleetNamespace})
	if len(mistakes) > 0 {
		return [2]workload{}, mistakes.ToAggregate()
	}
	now := time.Now()
	fleet := s.fleet(size)
	plan := scheduling.NewPlan(fleet, policy)
	after := func(_ context.Context, i int) error {
		s.change(fleet, i)
		return decided(plan.Run(now))
	}
	still := s.fleet(size)
	full := func(context.Context, int) error { return decided(scheduling.NewPlan(still, policy).Run(now)) }
	return [2]workload{steady(after), steady(full)}, nil
}

// decided returns an error unless as many clusters are selected as are asked for.
func decided(result scheduling.Result) error {
	if len(result.Decisions) != selected {
		return errors.New("it has selected " + strconv.Itoa(len(result.Decisions)) + " clusters")
	}
	return nil
}
