// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

const (
	gibibyte = 1 << 30
	// linear is the number of units up to which a score grows by one for each unit. Above that, it
	// grows by perDoubling whenever the units double.
	linear      = 64
	perDoubling = 7
)

// Values returns no more than most amounts of the cluster, ordered by name, and whether there are
// more. Resources of nodes have priority over resources that only pods request: users who may
// create pods can request anything, under any name.
func (c *Cluster) Values(most int) (values []v1alpha1.ClusterValue, more bool) {
	total, largest := amounts{}, amounts{}
	for _, n := range c.nodes {
		for name := range n.allocatable {
			free := n.free(name)
			names := []string{string(name)}
			if device := n.types[name]; device != "" {
				names = append(names, typed(name, device))
			}
			for _, counted := range names {
				total.add(counted, free)
				if most, ok := largest[counted]; !ok || free.Cmp(most) > 0 {
					largest[counted] = free
				}
			}
		}
	}
	// Shorter names first: cpu and memory before names with a domain.
	for _, name := range slices.SortedFunc(maps.Keys(total), shorterFirst) {
		values = append(values, amount(name, total[name]), amount(name+v1alpha1.ScoreLargestNode, largest[name]),
			amount(name+v1alpha1.ScorePending, c.pending[name]))
	}
	// Requests for resources that no node has are demand, too: an autoscaler may add them.
	for _, name := range slices.Sorted(maps.Keys(c.pending)) {
		if _, ok := total[name]; !ok {
			values = append(values, amount(name+v1alpha1.ScorePending, c.pending[name]))
		}
	}
	more = len(values) > most || c.dropped
	values = values[:min(len(values), most)]
	slices.SortFunc(values, func(a, b v1alpha1.ClusterValue) int { return strings.Compare(a.Name, b.Name) })
	return values, more
}

func shorterFirst[name ~string](a, b name) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func amount(name string, quantity resource.Quantity) v1alpha1.ClusterValue {
	return v1alpha1.ClusterValue{Name: name, Value: &quantity}
}

// typed returns the name of a resource's amounts for one type of device.
func typed(name corev1.ResourceName, device string) string { return string(name) + "@" + device }

// Scores returns a score for each value, in the same order: see Score.
func Scores(values []v1alpha1.ClusterValue) []v1alpha1.ClusterScoreItem {
	scores := make([]v1alpha1.ClusterScoreItem, len(values))
	for i := range values {
		scores[i] = v1alpha1.ClusterScoreItem{Name: values[i].Name, Value: ptr.To(Score(values[i].Name, *values[i].Value))}
	}
	return scores
}

// Score returns the score of an amount. It depends only on the amount, so scores of different
// clusters and times can be compared. -100 means nothing, and a larger amount never has a lower
// score. Each unit up to 64, complete or not, is one point. Above that, each doubling is seven
// points, which is about a tenth more for each point. A unit is one core of cpu, 1 GiB of memory
// and huge pages, 10 GiB of ephemeral storage, and one of everything else. 100 means 45 million
// units, which is more than any cluster has.
func Score(name string, amount resource.Quantity) int32 {
	units := amount.AsApproximateFloat64() / unit(name)
	if units <= 0 {
		return v1alpha1.LeastScore
	}
	points := math.Ceil(units)
	if units > linear {
		points = linear + math.Ceil(perDoubling*math.Log2(units/linear))
	}
	return int32(min(v1alpha1.LeastScore+points, v1alpha1.MostScore))
}

// unit returns the amount of a resource that is one unit of its scores.
func unit(name string) float64 {
	name, _, _ = strings.Cut(name, ":")
	switch {
	case name == string(corev1.ResourceMemory), strings.HasPrefix(name, corev1.ResourceHugePagesPrefix):
		return gibibyte
	case name == string(corev1.ResourceEphemeralStorage):
		return 10 * gibibyte
	default:
		return 1
	}
}
