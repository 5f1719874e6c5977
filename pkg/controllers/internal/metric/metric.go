// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package metric makes the metrics of the controllers. It registers none: each controller does
// that, once.
package metric

import "k8s.io/component-base/metrics"

const namespace = "clusterpass"

// Counter returns a counter with that name, without the prefix clusterpass.
func Counter(name, help string) *metrics.Counter {
	return metrics.NewCounter(&metrics.CounterOpts{Namespace: namespace, Name: name, Help: help, StabilityLevel: metrics.ALPHA})
}

// CounterVec is Counter with one label. No value of the label may name a cluster, a user or an
// object.
func CounterVec(name, help, label string) *metrics.CounterVec {
	opts := &metrics.CounterOpts{Namespace: namespace, Name: name, Help: help, StabilityLevel: metrics.ALPHA}
	return metrics.NewCounterVec(opts, []string{label})
}

// Histogram returns a histogram of seconds with that name, without the prefix clusterpass. It has
// 14 buckets: the bound of the first is least, and each other one is twice the one before.
func Histogram(name, help string, least float64) *metrics.Histogram {
	return metrics.NewHistogram(&metrics.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: metrics.ExponentialBuckets(least, 2, 14), StabilityLevel: metrics.ALPHA,
	})
}

// Start starts the counters with these values of the label at zero. Prometheus sees no increase in
// a counter that appears with its first count. The counters must be registered.
func Start(counters *metrics.CounterVec, values ...string) {
	for _, value := range values {
		counters.WithLabelValues(value)
	}
}
