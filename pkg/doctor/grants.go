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

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/pager"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// grantStuck is how long a grant may be on its way, to be ready or to be gone: many tries of the
	// controller manager.
	grantStuck = 10 * time.Minute
	// grantPage is how many grants are read at once.
	grantPage = 500
	// maxStuck bounds how many grants are reported one by one: a member that is down holds all of its
	// own up.
	maxStuck = 20
)

// checkGrants looks for grants that do not get anywhere.
func checkGrants(ctx context.Context, e *examination) findings {
	found, seen, err := e.walkGrants(ctx, metav1.NamespaceAll)
	if apierrors.IsForbidden(err) && e.Namespace != "" {
		var inOne error
		if found, seen, inOne = e.walkGrants(ctx, e.Namespace); inOne == nil {
			found.skip("AuthTokenGrants", "you may not list those of all namespaces: only %s is checked", e.Namespace)
			err = nil
		}
	}
	if err != nil {
		found.unknown("AuthTokenGrants", err)
		return found
	}
	if Worst(found) == Skip {
		found.ok("", "none of %d is stuck", seen)
	}
	return found
}

// walkGrants reads the grants of namespace and returns what is wrong with them, and how many there
// are.
func (e *examination) walkGrants(ctx context.Context, namespace string) (f findings, seen int, err error) {
	selected := sets.New(e.Clusters...)
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return e.Clusterpass.ClusterpassV1alpha1().AuthTokenGrants(namespace).List(ctx, options)
	})
	pages.PageSize = grantPage
	stuck, unidentified := 0, map[types.NamespacedName]int{}
	err = pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		grant, ok := object.(*clusterpassv1alpha1.AuthTokenGrant)
		if !ok {
			return fmt.Errorf("not an AuthTokenGrant: %T", object)
		}
		cluster := types.NamespacedName{Namespace: grant.Spec.ClusterProfile.Namespace, Name: grant.Spec.ClusterProfile.Name}
		if len(selected) > 0 && !selected.Has(cluster) {
			return nil
		}
		seen++
		if saysNoMember(grant, e.now()) {
			unidentified[cluster]++
		}
		finding := grantFinding(grant, e.now())
		if finding == nil {
			return nil
		}
		if stuck++; stuck <= maxStuck {
			f = append(f, *finding)
		}
		return nil
	})
	if stuck > maxStuck {
		f.fail("", "List all of them: kubectl get authtokengrants -A", "%d more are like that", stuck-maxStuck)
	}
	e.reportUnidentified(&f, unidentified)
	return f, seen, err
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
		f.warn("ClusterProfile "+cluster.String(), e.mendIdentity(cluster),
			"%d of its grants do not say which cluster they are on (status.memberUID), and are revoked wherever the ClusterProfile leads to: "+
				"the member does not let clusterpass get its namespace kube-system, or was not swept since then", grants[cluster])
	}
}

// mendIdentity says how a member lets clusterpass know which cluster it is.
func (e *examination) mendIdentity(cluster types.NamespacedName) string {
	profiles := e.hub.profiles.value.items
	i := slices.IndexFunc(profiles, func(p inventoryv1alpha1.ClusterProfile) bool {
		return p.Namespace == cluster.Namespace && p.Name == cluster.Name
	})
	if i >= 0 && profiles[i].Annotations[member.MemberUIDAnnotation] != "" {
		return member.MendCredential(&profiles[i])
	}
	return "Apply the manifests there again: kubectl --context=CONTEXT apply -k artifacts/deploy/member"
}

// grantFinding returns what is wrong with a grant, nil if nothing is.
func grantFinding(grant *clusterpassv1alpha1.AuthTokenGrant, now time.Time) *Finding {
	var f findings
	about := "AuthTokenGrant " + grant.Namespace + "/" + grant.Name
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
	if len(f) == 0 {
		return nil
	}
	return &f[0]
}

// conditionText returns what a condition says, or otherwise if there is none.
func conditionText(conditions []metav1.Condition, condition, otherwise string) string {
	found := meta.FindStatusCondition(conditions, condition)
	if found == nil {
		return otherwise
	}
	return found.Reason + ": " + found.Message
}
