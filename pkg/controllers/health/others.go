// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// eventPeriod is how often an event about a failure that goes on is recorded again: the hub forgets
// events after an hour, and doctor looks for it.
const eventPeriod = 30 * time.Minute

// syncOther probes the member of a profile that another cluster manager maintains, and returns
// after how long to do so again: zero if clusterpass has had no access so far. It writes nothing to
// the profile, whose health is that manager's to say. It records an event if clusterpass can no
// longer use the member, and another once it can.
func (c *Controller) syncOther(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) time.Duration {
	if _, err := c.Members.Cached(ctx, profile); err != nil {
		// It is not adopted, or not any more. A Secret that names it, and an access provider, enqueue it.
		c.deleted(profile)
		return 0
	}
	o := c.of(profile)
	c.observe(ctx, profile, o)
	if ctx.Err() != nil {
		return c.ProbePeriod
	}
	failure, known := o.accessFailure()
	again := failure.reason != "" && c.Clock.Since(o.toldAt) >= eventPeriod
	if known && (failure.reason != o.told || again) {
		c.recordAccess(profile, failure)
		o.told, o.toldAt = failure.reason, c.Clock.Now()
	}
	return c.untilProbe(profile, o)
}

// accessFailure returns what keeps clusterpass from using the member, with an empty reason if
// nothing does. It returns false while that is not known. A member that says that it is not ready
// can be used.
func (o *observed) accessFailure() (outcome, bool) {
	joined, answered := o.membership()
	switch {
	case answered && joined.status == metav1.ConditionTrue:
		return outcome{}, true
	case answered && joined.reason == ReasonRightsLost:
		return joined, true
	case o.failures >= failuresToReport:
		return o.probe, true
	}
	return outcome{}, false
}

// recordAccess records an event about a failure of access, or about its end.
func (c *Controller) recordAccess(profile *inventoryv1alpha1.ClusterProfile, failure outcome) {
	if failure.reason == "" {
		c.Recorder.Eventf(profile, nil, corev1.EventTypeNormal, member.EventAccessRestored, "Probe", "clusterpass can use the cluster again")
		return
	}
	if failure.reason == ReasonRightsLost {
		failure.message += ". " + member.MendCredential(profile)
	}
	c.Recorder.Eventf(profile, nil, corev1.EventTypeWarning, member.EventAccessFailed, "Probe",
		"%s: %s", failure.reason, words.Message(failure.message))
}
