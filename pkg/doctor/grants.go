// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// grantStuck is how long a grant may be on its way, to be ready or to be gone: many tries of the
	// controller manager.
	grantStuck = 10 * time.Minute
	// maxStuck bounds how many grants are reported one by one: a member that is down holds all of its
	// own up.
	maxStuck = 20
)

// checkGrants looks for grants that do not get anywhere, and for those that do not say where they
// are.
func checkGrants(ctx context.Context, e *examination, f *findings) {
	seen, more, unidentified := 0, 0, map[types.NamespacedName]int{}
	only, err := e.inNamespaces(func(namespace string) error {
		list := e.Clusterpass.ClusterpassV1alpha1().AuthTokenGrants(namespace).List
		return each(ctx, list, func(grant *clusterpassv1alpha1.AuthTokenGrant) {
			cluster := types.NamespacedName{Namespace: grant.Spec.ClusterProfile.Namespace, Name: grant.Spec.ClusterProfile.Name}
			if len(e.Clusters) > 0 && !slices.Contains(e.Clusters, cluster) {
				return
			}
			seen++
			if saysNoMember(grant, e.now()) {
				unidentified[cluster]++
			}
			f.grant(grant, e.now())
			if len(*f) > maxStuck {
				*f, more = (*f)[:maxStuck], more+1
			}
		})
	})
	if more > 0 {
		f.fail("", "List all of them: kubectl get authtokengrants -A", "%d more are like that", more)
	}
	e.reportUnidentified(f, unidentified)
	if f.unknown("AuthTokenGrants", err) {
		return
	}
	f.onlyIn(only, "AuthTokenGrants")
	if Worst(*f) == Skip {
		f.ok("", "none of %d is stuck", seen)
	}
}

// saysNoMember returns whether a grant was there for long enough to say which cluster it is on, and
// does not.
func saysNoMember(grant *clusterpassv1alpha1.AuthTokenGrant, now time.Time) bool {
	return grant.Status.MemberUID == "" && grant.DeletionTimestamp == nil && now.Sub(grant.CreationTimestamp.Time) > grantStuck &&
		meta.IsStatusConditionTrue(grant.Status.Conditions, clusterpassv1alpha1.GrantReady)
}

// reportUnidentified reports the clusters that have grants which do not say where they are, and how
// many.
func (e *examination) reportUnidentified(f *findings, grants map[types.NamespacedName]int) {
	clusters := slices.SortedFunc(maps.Keys(grants), func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	for i, cluster := range clusters {
		if i == maxStuck {
			f.warn("", "List all of them: kubectl get authtokengrants -A -o yaml", "%d more clusters are like that", len(clusters)-maxStuck)
			return
		}
		f.warn(kindProfile+" "+cluster.String(), e.mendIdentity(cluster),
			"%d of its grants do not say which cluster they are on (status.memberUID), and are revoked wherever the ClusterProfile leads to: "+
				"the member does not let clusterpass get its namespace kube-system, or was not swept since then", grants[cluster])
	}
}

// mendIdentity says how a member lets clusterpass know which cluster it is.
func (e *examination) mendIdentity(cluster types.NamespacedName) string {
	profiles := e.hub.profiles.value.items
	i := slices.IndexFunc(profiles, func(p *inventoryv1alpha1.ClusterProfile) bool {
		return p.Namespace == cluster.Namespace && p.Name == cluster.Name
	})
	if i >= 0 && profiles[i].Annotations[member.MemberUIDAnnotation] != "" {
		return member.MendCredential(profiles[i])
	}
	return "Apply the manifests there again: kubectl --context=CONTEXT apply -k artifacts/deploy/member"
}

// grant reports what is wrong with a grant, if anything is.
func (f *findings) grant(grant *clusterpassv1alpha1.AuthTokenGrant, now time.Time) {
	about := aboutObject("AuthTokenGrant", grant)
	switch {
	case grant.DeletionTimestamp != nil:
		if now.Sub(grant.DeletionTimestamp.Time) > grantStuck {
			f.fail(about, fmt.Sprintf("Bring cluster %s/%s back, or, if it is gone for ever, abandon the grant: "+
				"kubectl -n %s annotate authtokengrant %s %s=true", grant.Spec.ClusterProfile.Namespace, grant.Spec.ClusterProfile.Name,
				grant.Namespace, grant.Name, clusterpassv1alpha1.AnnotationAbandonMember),
				"it was deleted at %s and is not revoked: %s", grant.DeletionTimestamp.UTC().Format(time.RFC3339),
				conditionText(grant.Status.Conditions, clusterpassv1alpha1.GrantRevoked, "the controller manager has not said why"))
		}
	case !meta.IsStatusConditionTrue(grant.Status.Conditions, clusterpassv1alpha1.GrantReady):
		since := grant.CreationTimestamp.Time
		if ready := meta.FindStatusCondition(grant.Status.Conditions, clusterpassv1alpha1.GrantReady); ready != nil {
			since = ready.LastTransitionTime.Time
		}
		if now.Sub(since) > grantStuck {
			f.warn(about, fmt.Sprintf("Request a token again, or, if it is no longer needed, delete the grant: "+
				"kubectl -n %s delete authtokengrant %s", grant.Namespace, grant.Name),
				"it is not ready since %s: %s", since.UTC().Format(time.RFC3339),
				conditionText(grant.Status.Conditions, clusterpassv1alpha1.GrantReady, "no reason is given"))
		}
	}
}

// conditionText returns what a condition says, or otherwise if there is none.
func conditionText(conditions []metav1.Condition, condition, otherwise string) string {
	found := meta.FindStatusCondition(conditions, condition)
	if found == nil {
		return otherwise
	}
	return found.Reason + ": " + found.Message
}
