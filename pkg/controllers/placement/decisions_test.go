// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

// TestSliceName makes the slices of the Placement with the longest name, for as many clusters as a
// hub may ever have.
func TestSliceName(t *testing.T) {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("p", 63)}}
	s := slicer{placement: placement}
	clusters := make([]types.NamespacedName, 100_000)
	for i := range clusters {
		clusters[i] = types.NamespacedName{Namespace: placement.Namespace, Name: fmt.Sprintf("%s-%06d", strings.Repeat("c", 246), i)}
	}
	all, _ := s.divide([]scheduling.Group{{Name: strings.Repeat("g", 63), Clusters: clusters}})
	require.Len(t, all, 1000)
	stays := map[types.NamespacedName]bool{}
	seen := map[types.NamespacedName]int{}
	for _, cluster := range clusters {
		stays[cluster], seen[cluster] = true, 1
	}
	between := s.inBetween([]step{{have: all[999]}, {have: all[0]}}, seen, stays)
	require.Len(t, between, 2)
	names := sets.New[string]()
	for _, slice := range append(all, between...) {
		require.Empty(t, validation.IsDNS1123Subdomain(slice.Name))
		for key, value := range slice.Labels {
			require.Empty(t, validation.IsValidLabelValue(value), key)
		}
		assert.Equal(t, placement.Name, slice.Labels[inventoryv1alpha1.DecisionKeyLabel])
		names.Insert(slice.Name)
	}
	assert.Len(t, names, 1002)
	assert.Equal(t, "gpu-decision-1", sliceName("gpu", 0), "as earlier releases have named it")
}

// TestDecisionKeys is also about Placements that are not the server's: it lets in no name that is
// no label's value.
func TestDecisionKeys(t *testing.T) {
	assert.Equal(t, "gpu", decision.Key("gpu"))
	seen := sets.New[string]()
	for _, name := range []string{
		strings.Repeat("p", 253), strings.Repeat("p", 252) + "q", strings.Repeat("p.", 126) + "q",
		strings.Repeat("p", 51) + "-." + strings.Repeat("p", 200),
		strings.Repeat("p-", 40) + "p", strings.Repeat("p-", 40) + "q",
	} {
		key := decision.Key(name)
		assert.Empty(t, validation.IsValidLabelValue(key), key)
		assert.Equal(t, key, decision.Key(name))
		seen.Insert(key)
	}
	assert.Len(t, seen, 6)
}
