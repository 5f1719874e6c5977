// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// No label of these metrics has the name of a cluster.
var (
	probes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "member_probes_total",
		Help:           "Probes of member clusters, by result: Ready, or the reason that the condition ControlPlaneHealthy then has.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	probeDuration = metrics.NewHistogram(&metrics.HistogramOpts{
		Namespace:      "clusterpass",
		Name:           "member_probe_duration_seconds",
		Help:           "How long probes of member clusters take, in seconds.",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 14),
		StabilityLevel: metrics.ALPHA,
	})

	clustersDesc = metrics.NewDesc("clusterpass_clusters",
		"ClusterProfiles of this manager by the status of their condition ControlPlaneHealthy: True, False or Unknown.",
		[]string{"healthy"}, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this controller with the legacy registry. It counts the
// clusters of c.
func RegisterMetrics(c *Controller) {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(probes, probeDuration)
		for _, reason := range []string{
			ReasonReady, ReasonNotReady, ReasonTimeout, ReasonConnectionRefused, ReasonUnreachable, ReasonTLSFailed,
			ReasonUnauthorized, ReasonCredentialExpired, ReasonForbidden, ReasonCredentialPluginFailed, ReasonNoAccess, ReasonUnexpectedAnswer,
		} {
			probes.WithLabelValues(reason)
		}
		legacyregistry.CustomMustRegister(&collector{controller: c})
	})
}

func countProbe(result string) { probes.WithLabelValues(result).Inc() }

// collector counts ClusterProfiles at each scrape.
type collector struct {
	metrics.BaseStableCollector
	controller *Controller
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) { ch <- clustersDesc }

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	profiles, err := c.controller.profiles.List(labels.Everything())
	if err != nil {
		return
	}
	counts := map[metav1.ConditionStatus]int{metav1.ConditionTrue: 0, metav1.ConditionFalse: 0, metav1.ConditionUnknown: 0}
	for _, profile := range profiles {
		if !c.controller.isOurs(profile) {
			continue
		}
		status := metav1.ConditionUnknown
		if condition := health(profile); condition != nil {
			status = condition.Status
		}
		counts[status]++
	}
	for status, count := range counts {
		ch <- metrics.NewLazyConstMetric(clustersDesc, metrics.GaugeValue, float64(count), string(status))
	}
}
