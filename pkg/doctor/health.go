// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
)

// reasonNoAccess is that of the condition Joined where there was no access to try. It is looked for
// anew here.
const reasonNoAccess = "NoAccess"

// conditionJoined says that a member has been taken into the fleet. Upstream reserves no name for
// it.
const conditionJoined = "Joined"

// checkHealth reports what the ClusterProfiles' conditions say of the members.
func checkHealth(_ context.Context, e *examination, f *findings) {
	for _, profile := range e.knownProfiles(f) {
		f.health(profile)
	}
}

func (f *findings) health(profile *inventoryv1alpha1.ClusterProfile) {
	about := aboutObject(kindProfile, profile)
	mend := fmt.Sprintf("Look the message up in docs/troubleshooting.md (Error messages), and read the conditions again: "+
		"kubectl -n %s describe clusterprofile %s", profile.Namespace, profile.Name)
	unknown := "Check that its manager's controllers run: kubectl -n " + SystemNamespace + " logs deployment/" + managerName
	if isAnothers(profile) {
		unknown = "Check that the controllers of its manager run"
		mend = fmt.Sprintf("Its manager says so, and not clusterpass: look there, and read the conditions again: "+
			"kubectl -n %s describe clusterprofile %s", profile.Namespace, profile.Name)
	}
	if joined := meta.FindStatusCondition(profile.Status.Conditions, conditionJoined); joined != nil && joined.Status != metav1.ConditionTrue {
		f.fail(about, mend, "%s", inWords(joined))
	}
	healthy := meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
	switch {
	case healthy == nil:
		f.warn(about, unknown,
			"its health is unknown: its manager %q has not set the condition %s",
			profile.Spec.ClusterManager.Name, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
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

// ourManagers is the end of the names of the managers of imported clusters.
const ourManagers = ".clusterpass.dev"

// maxName bounds a name that somebody else chooses in a finding, in bytes.
const maxName = 100

// isAnothers returns whether another cluster manager than clusterpass keeps the conditions of a
// profile: its name is none of those that clusterpass has if it is not given another, and
// clusterpass has written nothing to the profile.
func isAnothers(profile *inventoryv1alpha1.ClusterProfile) bool {
	manager := profile.Spec.ClusterManager.Name
	return manager != ourManager && !strings.HasSuffix(manager, ourManagers) &&
		!slices.ContainsFunc(profile.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
			return entry.Manager == member.InventoryFieldManager
		})
}

// refusedAccess returns the condition by which the controller manager says that the member refuses
// the access that there is, nil if it does not say so. The condition of another manager is about
// its own access.
func refusedAccess(profile *inventoryv1alpha1.ClusterProfile) *metav1.Condition {
	joined := meta.FindStatusCondition(profile.Status.Conditions, conditionJoined)
	if isAnothers(profile) || joined == nil || joined.Status != metav1.ConditionFalse || joined.Reason == reasonNoAccess {
		return nil
	}
	return joined
}

// leadsSomewhere returns whether there is something by which clusterpass could reach the member of
// a profile: an access provider that it is configured for, or a Secret that names the profile.
func (e *examination) leadsSomewhere(secrets memberSecrets, profile *inventoryv1alpha1.ClusterProfile) bool {
	_, bySecret := member.SecretFor(e.Access, secrets, profile)
	naming, _ := secrets.Of(profile.Namespace, profile.Name)
	return bySecret || len(naming) > 0 || e.byPlugin(profile)
}
