// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	nominations = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "multikueue_nominations_total",
		Help:           "How often clusters were nominated for a Workload of Kueue, or nominations taken back.",
		StabilityLevel: metrics.ALPHA,
	})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() { legacyregistry.MustRegister(nominations) })
}
