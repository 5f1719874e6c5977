// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/metric"
)

// No label of these metrics has the name of a cluster, user or grant.
var (
	revocations = metric.CounterVec("grant_revocations_total",
		"Revocations of grants, by result: Revoked, Abandoned, or Failed for each failed attempt.", "result")

	revocationDuration = metric.Histogram("grant_revocation_duration_seconds",
		"Time from the deletion of a grant until its tokens had no rights on the member cluster, in seconds. "+
			"The deletion is stored in whole seconds.", 0.5)

	grantsDesc = metrics.NewDesc("clusterpass_grants",
		"Grants by state: Ready, NotReady, Expired (no token of it is valid any more) or Revoking.", []string{"state"}, nil, metrics.ALPHA, "")

	oldestDesc = metrics.NewDesc("clusterpass_grant_revocation_oldest_seconds",
		"Time since the deletion of the grant that has waited longest to be revoked, in seconds; 0 if none waits.", nil, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// registerMetrics registers the metrics of this controller with the legacy registry. They count the
// grants of the first one.
func (c *Controller) registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(revocations, revocationDuration)
		metric.Start(revocations, "Revoked", "Abandoned", "Failed")
		legacyregistry.CustomMustRegister(&collector{controller: c})
	})
}

// collector counts grants at each scrape.
type collector struct {
	metrics.BaseStableCollector
	controller *Controller
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) {
	ch <- grantsDesc
	ch <- oldestDesc
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	grants, err := c.controller.grants.List(labels.Everything())
	if err != nil {
		return
	}
	counts := map[string]int{"Ready": 0, "NotReady": 0, "Expired": 0, "Revoking": 0}
	var oldest time.Duration
	for _, g := range grants {
		counts[c.controller.state(g)]++
		if g.DeletionTimestamp != nil {
			oldest = max(oldest, c.controller.Clock.Since(g.DeletionTimestamp.Time))
		}
	}
	ch <- metrics.NewLazyConstMetric(oldestDesc, metrics.GaugeValue, oldest.Seconds())
	for state, count := range counts {
		ch <- metrics.NewLazyConstMetric(grantsDesc, metrics.GaugeValue, float64(count), state)
	}
}

func (c *Controller) state(g *v1alpha1.AuthTokenGrant) string {
	switch ceiling := g.Status.ExpirationCeiling; {
	case g.DeletionTimestamp != nil:
		return "Revoking"
	case ceiling != nil && ceiling.Time.Before(c.Clock.Now()):
		return "Expired"
	case meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.GrantReady):
		return "Ready"
	default:
		return "NotReady"
	}
}
