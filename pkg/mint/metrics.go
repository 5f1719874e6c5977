// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"cmp"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/member"
)

// Phases of a mint; values of a metric label. phaseRecord is observed twice in a cold request: when
// the hub stores the grant, and when what the member has is recorded on it.
const (
	phaseAuthorize = "authorize"
	phaseRecord    = "record"
	phaseEnsure    = "ensure"
	phaseIssue     = "issue"
	phaseSettle    = "settle"
)

// Results of requests in the metrics, besides the reasons of Statuses.
const (
	resultIssued  = "Issued"
	resultDryRun  = "DryRun"
	resultUnknown = "Unknown"
)

// No label of these metrics has the name of a cluster or user, or a token.
var (
	tokenRequests = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "clusterpass",
		Name:      "token_requests_total",
		Help: "Requests for tokens of member clusters, by result (Issued, DryRun, " +
			"or the reason of the metav1.Status that was answered).",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	phaseDuration = metrics.NewHistogramVec(&metrics.HistogramOpts{
		Namespace:      "clusterpass",
		Name:           "mint_phase_duration_seconds",
		Help:           "Time that the phases of minting a token take, in seconds, by phase and by result (OK or Error).",
		Buckets:        metrics.ExponentialBuckets(0.001, 2, 14),
		StabilityLevel: metrics.ALPHA,
	}, []string{"phase", "result"})

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this package with the legacy registry,
// which /metrics serves.
func RegisterMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(tokenRequests, phaseDuration)
		// Results that are not the requester's fault exist from the start: Prometheus sees no
		// increase in a counter that appears with its first count.
		for _, result := range []string{
			resultIssued, resultDryRun, resultUnknown, string(metav1.StatusReasonInternalError), string(metav1.StatusReasonServiceUnavailable),
			string(metav1.StatusReasonTimeout), string(metav1.StatusReasonTooManyRequests),
			string(member.ReasonQuotaExceeded), string(member.ReasonPolicyDenied), string(member.ReasonNamespaceTerminating),
		} {
			tokenRequests.WithLabelValues(result)
		}
	})
}

// countRequest counts a request that ended with err.
func countRequest(err error, dryRun bool) {
	result := resultIssued
	switch {
	case err != nil:
		result = cmp.Or(string(apierrors.ReasonForError(err)), resultUnknown)
	case dryRun:
		result = resultDryRun
	}
	tokenRequests.WithLabelValues(result).Inc()
}

// observePhase records the duration of a phase that began at start and ends now with *err.
func observePhase(phase string, c clock.PassiveClock, start time.Time, err *error) {
	result := "OK"
	if *err != nil {
		result = "Error"
	}
	phaseDuration.WithLabelValues(phase, result).Observe(c.Since(start).Seconds())
}
