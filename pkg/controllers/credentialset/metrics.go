// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"sync"

	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/metric"
)

const (
	resultIssued   = "Issued"
	resultRepaired = "Repaired"
	resultFailed   = "Failed"
)

var (
	// No label of this metric has the name of a set or cluster.
	renewals = metric.CounterVec("credential_set_issues_total", "Credentials written for ClusterCredentialSets, by result: "+
		"Issued, Repaired where the token was kept, or Failed for each failed attempt.", "result")

	authorsDesc = metrics.NewDesc("clusterpass_credential_set_authors_expiring",
		"ClusterCredentialSets whose author's time (--max-set-author-age) ends within 14 days (ExpiresSoon) or has ended (Expired).",
		[]string{"reason"}, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// registerMetrics registers the metrics of this controller with the legacy registry. They count the
// sets of the first one.
func (c *Controller) registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(renewals)
		metric.Start(renewals, resultIssued, resultRepaired, resultFailed)
		legacyregistry.CustomMustRegister(&collector{controller: c})
	})
}

// collector counts sets at each scrape.
type collector struct {
	metrics.BaseStableCollector
	controller *Controller
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) { ch <- authorsDesc }

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	counts := map[string]int{v1alpha1.CredentialSetReasonExpiresSoon: 0, v1alpha1.CredentialSetReasonExpired: 0}
	c.controller.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if reason, _ := c.controller.authorEnds(set); reason != "" {
			counts[reason]++
		}
	})
	for reason, count := range counts {
		ch <- metrics.NewLazyConstMetric(authorsDesc, metrics.GaugeValue, float64(count), reason)
	}
}
