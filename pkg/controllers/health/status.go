// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// ConditionJoined says whether the member accepts clusterpass's current credential and rights.
const ConditionJoined = "Joined"

// failuresToReport is how many consecutive probes must fail before an outage is reported.
const failuresToReport = 2

var patchOptions = metav1.PatchOptions{FieldManager: member.InventoryFieldManager}

// patchOf returns the merge patch that changes profile's status to that of next, if the stored
// profile is still the same. It keeps fields that a newer CustomResourceDefinition may have added.
func patchOf(profile, next *inventoryv1alpha1.ClusterProfile) ([]byte, error) {
	status := map[string]any{"conditions": next.Status.Conditions}
	if next.Status.Version != profile.Status.Version {
		status["version"] = next.Status.Version
	}
	if !equality.Semantic.DeepEqual(next.Status.Properties, profile.Status.Properties) {
		status["properties"] = next.Status.Properties
	}
	return json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": profile.UID, "resourceVersion": profile.ResourceVersion},
		"status":   status,
	})
}

// health returns the condition ControlPlaneHealthy of a profile, or nil.
func health(profile *inventoryv1alpha1.ClusterProfile) *metav1.Condition {
	return meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
}

// desired returns the profile with the status for o, or nil if it has that status already. A
// changed message of a condition alone is not written: messages contain ports and times.
func desired(profile *inventoryv1alpha1.ClusterProfile, o *observed) *inventoryv1alpha1.ClusterProfile {
	next := profile.DeepCopy()
	if o.failures == 0 || o.failures >= failuresToReport {
		for _, condition := range o.conditions(profile) {
			setCondition(&next.Status.Conditions, condition)
		}
	}
	if o.facts.version != "" {
		next.Status.Version.Kubernetes = o.facts.version
	}
	// Unchanged properties keep their time, so a change of their order alone is none.
	merged := o.facts.merge(profile.Status.Properties, metav1.NewTime(o.factsAt))
	if !sets.New(merged...).Equal(sets.New(profile.Status.Properties...)) {
		next.Status.Properties = merged
	}
	if equality.Semantic.DeepEqual(profile.Status, next.Status) {
		return nil
	}
	return next
}

// conditions returns the conditions for the last probe.
func (o *observed) conditions(profile *inventoryv1alpha1.ClusterProfile) []metav1.Condition {
	conditions := []metav1.Condition{o.probe.condition(inventoryv1alpha1.ClusterConditionControlPlaneHealthy, o.since)}
	if joined, ok := o.membership(); ok {
		if joined.reason == ReasonRightsLost {
			joined.message += ". " + member.MendCredential(profile)
		}
		conditions = append(conditions, joined.condition(ConditionJoined, o.joinedSince))
	}
	return conditions
}

// membership returns the condition Joined for the last probe, or false if the member did not
// answer, so the condition is unknown.
func (o *observed) membership() (outcome, bool) {
	switch o.probe.reason {
	case ReasonReady, ReasonNotReady:
		if o.rightsLost != "" {
			return outcome{metav1.ConditionFalse, ReasonRightsLost, o.rightsLost}, true
		}
		return outcome{metav1.ConditionTrue, "Accepted", "The member accepts the credential of clusterpass"}, true
	case ReasonUnauthorized, ReasonCredentialExpired, ReasonForbidden, ReasonNoAccess, ReasonCredentialPluginFailed:
		return outcome{metav1.ConditionFalse, o.probe.reason, o.probe.message}, true
	default:
		return outcome{}, false
	}
}

// condition returns the condition of that type for o, with since as its transition time.
func (o outcome) condition(kind string, since time.Time) metav1.Condition {
	return metav1.Condition{Type: kind, Status: o.status, Reason: o.reason, Message: o.message, LastTransitionTime: metav1.NewTime(since)}
}

// setCondition sets a condition if its status, its reason, or the failed checks have changed.
func setCondition(conditions *[]metav1.Condition, condition metav1.Condition) {
	old := meta.FindStatusCondition(*conditions, condition.Type)
	if old != nil && old.Status == condition.Status && old.Reason == condition.Reason &&
		(condition.Reason != ReasonNotReady || old.Message == condition.Message) {
		return
	}
	meta.SetStatusCondition(conditions, condition)
}

// recordChanges records an event if the health of the member has changed, or else if Joined has
// changed.
func (c *Controller) recordChanges(old, now *inventoryv1alpha1.ClusterProfile) {
	for _, condition := range []struct{ kind, whenTrue, otherwise string }{
		{inventoryv1alpha1.ClusterConditionControlPlaneHealthy, "ControlPlaneHealthy", "ControlPlaneUnhealthy"},
		{ConditionJoined, "Joined", "NotJoined"},
	} {
		before := meta.FindStatusCondition(old.Status.Conditions, condition.kind)
		after := meta.FindStatusCondition(now.Status.Conditions, condition.kind)
		if after == nil || before != nil && before.Status == after.Status {
			continue
		}
		eventType, reason := corev1.EventTypeWarning, condition.otherwise
		if after.Status == metav1.ConditionTrue {
			eventType, reason = corev1.EventTypeNormal, condition.whenTrue
		}
		c.Recorder.Eventf(now, nil, eventType, reason, "Probe", "%s: %s", after.Reason, words.Message(after.Message))
		return
	}
}
