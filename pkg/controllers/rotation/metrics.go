// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const (
	resultRenewed = "Renewed"
	resultFailed  = "Failed"
)

var (
	// No label of this metric has the name of a cluster.
	renewals = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "member_credential_renewals_total",
		Help:           "Renewals of the hub's own credentials for member clusters, by result: Renewed, or Failed for each try that did not get through.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(renewals)
		for _, result := range []string{resultRenewed, resultFailed} {
			renewals.WithLabelValues(result)
		}
	})
}
