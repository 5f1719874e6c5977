// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// conditionJoined says that a member has been taken into the fleet. Upstream reserves no name for it.
const conditionJoined = "Joined"

// checkHealth reports what the ClusterProfiles' conditions say of the members.
func checkHealth(_ context.Context, e *examination) findings {
	var f findings
	if !e.haveProfiles(&f) {
		return f
	}
	for i := range e.hub.profiles.value.items {
		f.health(&e.hub.profiles.value.items[i])
	}
	return f
}

func (f *findings) health(profile *inventoryv1alpha1.ClusterProfile) {
	about := aboutProfile(profile)
	mend := fmt.Sprintf("Look the words up in docs/troubleshooting.md (Error messages) and ask again: kubectl -n %s describe clusterprofile %s", profile.Namespace, profile.Name)
	if joined := meta.FindStatusCondition(profile.Status.Conditions, conditionJoined); joined != nil && joined.Status != metav1.ConditionTrue {
		f.fail(about, mend, "%s", inWords(joined))
	}
	healthy := meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	switch {
	case healthy == nil:
		f.warn(about, "See whether its manager's controllers run: kubectl -n "+SystemNamespace+" logs deployment/"+managerName,
			"it is not known whether it is healthy: its manager %q has not set the condition %s", profile.Spec.ClusterManager.Name, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	case healthy.Status == metav1.ConditionTrue:
		f.ok(about, "healthy")
	case healthy.Status == metav1.ConditionFalse:
		f.fail(about, mend, "%s", inWords(healthy))
	default:
		f.warn(about, mend, "%s", inWords(healthy))
	}
}

// inWords says what a condition says.
func inWords(condition *metav1.Condition) string {
	return fmt.Sprintf("%s is %s since %s: %s: %s", condition.Type, condition.Status,
		condition.LastTransitionTime.UTC().Format(time.RFC3339), condition.Reason, condition.Message)
}
