// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	passes = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "placement_passes_total",
		Help:           "How often a Placement was decided upon.",
		StabilityLevel: metrics.ALPHA,
	})
	writes = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "placement_decision_writes_total",
		Help:           "PlacementDecisions that were created, updated or deleted.",
		StabilityLevel: metrics.ALPHA,
	})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() { legacyregistry.MustRegister(passes, writes) })
}
