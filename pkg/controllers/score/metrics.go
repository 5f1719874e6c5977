// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package score

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// No label of these metrics has the name of a cluster.
var (
	collections = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "score_collections_total",
		Help:           "Readings of a member cluster's nodes and pods, by result: OK or Failed.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	duration = metrics.NewHistogram(&metrics.HistogramOpts{
		Namespace:      "clusterpass",
		Name:           "score_collection_duration_seconds",
		Help:           "How long it took to read a member cluster's nodes and pods.",
		Buckets:        metrics.ExponentialBuckets(0.01, 2, 14),
		StabilityLevel: metrics.ALPHA,
	})

	writes = metrics.NewCounter(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "score_writes_total",
		Help:           "Writes of ClusterScores, of changed figures or of how long they are valid.",
		StabilityLevel: metrics.ALPHA,
	})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(collections, duration, writes)
		for _, result := range []string{"OK", "Failed"} {
			collections.WithLabelValues(result)
		}
	})
}
