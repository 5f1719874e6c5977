// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

const (
	resultRenewed  = "Issued"
	resultRepaired = "Repaired"
	resultFailed   = "Failed"
)

var (
	// No label of it names a set or a cluster.
	renewals = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "credential_set_issues_total",
		Help:           "Credentials written for ClusterCredentialSets, by result: Issued, Repaired where the token was kept, or Failed for each try that did not get through.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry.
func RegisterMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(renewals)
		for _, result := range []string{resultRenewed, resultRepaired, resultFailed} {
			renewals.WithLabelValues(result)
		}
	})
}
