// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

var gpu = slicer{placement: &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "gpu", UID: "p-1"}}}

// decided returns the slices for clusters of these numbers.
func decided(numbers ...int) []*inventoryv1alpha1.PlacementDecision {
	clusters := make([]types.NamespacedName, len(numbers))
	for i, number := range numbers {
		clusters[i] = types.NamespacedName{Namespace: "fleet", Name: fmt.Sprintf("c%d", number)}
	}
	all, _ := gpu.divide([]scheduling.Group{{Clusters: clusters}})
	return all
}

// numbers returns those from one up to another, without it.
func numbers(from, to int) []int {
	var all []int
	for i := from; i < to; i++ {
		all = append(all, i)
	}
	return all
}

func backwards(of []int) []int {
	slices.Reverse(of)
	return of
}

// follow takes steps, and requires that after each of them no cluster is missing that is in both
// decisions.
func follow(t *testing.T, have, want []*inventoryv1alpha1.PlacementDecision) (writes int) {
	t.Helper()
	there := map[string]*inventoryv1alpha1.PlacementDecision{}
	for _, slice := range have {
		there[slice.Name] = slice
	}
	stay := sets.New(decision.AllClusters(have)...).Intersection(sets.New(decision.AllClusters(want)...))
	for _, s := range gpu.steps(have, want) {
		writes++
		if s.want == nil {
			require.NotNil(t, there[s.have.Name])
			delete(there, s.have.Name)
		} else {
			require.LessOrEqual(t, len(s.want.Decisions), maxSlice)
			there[s.want.Name] = s.want
		}
		seen := sets.New[types.NamespacedName]()
		for _, slice := range there {
			seen.Insert(decision.Clusters(slice)...)
		}
		require.Empty(t, stay.Difference(seen), "missing after %d writes", writes)
	}
	end := slices.Collect(maps.Values(there))
	require.Equal(t, decision.AllClusters(want), decision.AllClusters(end))
	require.Len(t, end, len(want))
	return writes
}

// No reader misses a cluster that stays.
func TestSteps(t *testing.T) {
	for name, test := range map[string]struct {
		have, want []int
		writes     int
	}{
		"nothing changes":                           {numbers(0, 250), numbers(0, 250), 0},
		"the first decision":                        {nil, numbers(0, 250), 3},
		"one comes first":                           {numbers(1, 251), numbers(0, 251), 3},
		"the first leaves":                          {numbers(0, 250), numbers(1, 250), 3},
		"the last leaves":                           {numbers(0, 250), numbers(0, 249), 1},
		"two change places in one slice":            {[]int{1, 2, 3}, []int{2, 1, 3}, 1},
		"two change places between full slices":     {numbers(0, 200), append(append([]int{199}, numbers(1, 199)...), 0), 4},
		"all leave":                                 {numbers(0, 50), nil, 1},
		"half as many, the other way round":         {numbers(0, 200), backwards(numbers(100, 200)), 2},
		"a slice more where the last one was full":  {numbers(0, 100), numbers(0, 101), 1},
		"a slice less where the last one had a few": {numbers(0, 101), numbers(0, 100), 1},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.writes, follow(t, decided(test.have...), decided(test.want...)))
		})
	}
}

// No reader misses a cluster in a thousand changes.
func TestSteps_Random(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	have := numbers(0, 250)
	for i := range 1000 {
		want := slices.Clone(have)
		switch i % 4 {
		case 0:
			want = slices.Insert(want, 0, 1000+i)
		case 1:
			want = want[1:]
		case 2:
			random.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
		default:
			at := random.IntN(len(want))
			want = slices.Insert(slices.Delete(want, at, at+1), random.IntN(len(want)-1), 5000+i)
		}
		follow(t, decided(have...), decided(want...))
		have = want
	}
}

// What is left of an interrupted move is removed.
func TestSteps_InterruptedMove(t *testing.T) {
	have := decided(numbers(0, 150)...)
	left := gpu.newSlice("gpu-moving-1", movingIndex, decision.Clusters(have[1]))
	assert.Equal(t, 1, follow(t, append(have, left), decided(numbers(0, 150)...)))
}
