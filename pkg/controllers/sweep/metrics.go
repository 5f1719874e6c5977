// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// No label of these names a cluster, a user or a grant.
var (
	sweeps = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "member_sweeps_total",
		Help:           "Comparisons of a member cluster with what grants say, by result: OK or Failed.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	repairs = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "drift_repairs_total",
		Help:           "Repairs of what somebody had changed or deleted on a member cluster, by kind of the object.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"kind"})

	removals = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "orphans_removed_total",
		Help:           "Objects removed from member clusters because they belonged to no grant.",
		StabilityLevel: metrics.ALPHA,
	})

	orphansLeft = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "clusterpass",
		Name:      "orphans_left",
		Help: "Objects on member clusters that belong to no grant and that the last sweep left: " +
			"there were more than one sweep removes, or it failed.",
		StabilityLevel: metrics.ALPHA,
	})

	registerOnce sync.Once

	// leftOf are the parts of orphansLeft, by the UID of the ClusterProfile.
	leftOf = struct {
		sync.Mutex
		counts map[types.UID]int
	}{counts: map[types.UID]int{}}
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(sweeps, repairs, removals, orphansLeft)
		for _, result := range []string{"OK", "Failed"} {
			sweeps.WithLabelValues(result)
		}
		for _, kind := range []string{"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"} {
			repairs.WithLabelValues(kind)
		}
	})
}

// left notes how many orphans are left on the member of a ClusterProfile.
func (*Controller) left(profile types.UID, count int) {
	leftOf.Lock()
	defer leftOf.Unlock()
	delete(leftOf.counts, profile)
	if count > 0 {
		leftOf.counts[profile] = count
	}
	total := 0
	for _, n := range leftOf.counts {
		total += n
	}
	orphansLeft.Set(float64(total))
}
