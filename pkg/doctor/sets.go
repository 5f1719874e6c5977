// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/hub"
)

const (
	// maxSets bounds how many ClusterCredentialSets are reported one by one, those with a finding
	// first.
	maxSets = 50
	// writersPolicy keeps the annotation of who has written a PlacementDecision, where the hub serves
	// these.
	writersPolicy = "clusterpass-decision-writers"
)

// checkSets lists ClusterCredentialSets by their authors, and looks for those that somebody else
// may steer, or that no RBAC ends.
func checkSets(ctx context.Context, e *examination, f *findings) {
	var all []*clusterpassv1alpha1.ClusterCredentialSet
	only, err := e.inNamespaces(func(namespace string) error {
		list := e.Clusterpass.ClusterpassV1alpha1().ClusterCredentialSets(namespace).List
		return each(ctx, list, func(set *clusterpassv1alpha1.ClusterCredentialSet) { all = append(all, set) })
	})
	if f.unknown("ClusterCredentialSets", err) {
		return
	}
	f.onlyIn(only, "ClusterCredentialSets")
	// By their authors, those of one by their age, the oldest first.
	slices.SortFunc(all, func(a, b *clusterpassv1alpha1.ClusterCredentialSet) int {
		return cmp.Or(cmp.Compare(authorOf(a), authorOf(b)), credentialset.AuthorSince(a).Compare(credentialset.AuthorSince(b)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	reports := make([]findings, 0, len(all))
	for _, set := range all {
		reports = append(reports, setFindings(set, cmp.Or(e.ManagerUser, DefaultManagerUser), e.now()))
	}
	slices.SortStableFunc(reports, func(a, b findings) int { return cmp.Compare(severity[Worst(b)], severity[Worst(a)]) })
	for _, report := range reports[:min(len(reports), maxSets)] {
		*f = append(*f, report...)
	}
	if left := len(reports) - maxSets; left > 0 {
		f.skip("", "%d more sets are not listed: kubectl get clustercredentialsets -A -o "+
			"custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,AUTHOR:.spec.author.username,SINCE:.spec.author.since", left)
	}
	byDecisions := func(set *clusterpassv1alpha1.ClusterCredentialSet) bool { return set.Spec.Clusters.DecisionKey != "" }
	if slices.ContainsFunc(all, byDecisions) && e.mode() == hub.InventoryExternal {
		e.expectWritersPolicy(ctx, f)
	}
	if len(all) == 0 {
		f.ok("", "there is no ClusterCredentialSet")
	}
}

func authorOf(set *clusterpassv1alpha1.ClusterCredentialSet) string {
	if set.Spec.Author == nil {
		return ""
	}
	return set.Spec.Author.Username
}

// setFindings returns what there is to say of a set. writer is the user of the controller manager.
func setFindings(set *clusterpassv1alpha1.ClusterCredentialSet, writer string, now time.Time) findings {
	var f findings
	about := aboutObject("ClusterCredentialSet", set)
	renew := "Have somebody with fewer rights become its author: " + credentialset.RenewCommand(set)
	if credentialset.IsUnrestricted(set.Spec.Author) {
		f.warn(about, renew, "its author %q is in system:masters: RBAC cannot limit what the set gets", authorOf(set))
	}
	if clusters := &set.Spec.Clusters; clusters.DecisionKey != "" && len(clusters.DecisionWriters) == 0 {
		f.warn(about, fmt.Sprintf(`Become its author (%s), and name whose decisions count: `+
			`kubectl -n %s patch clustercredentialsets.clusterpass.dev %s --type=merge --patch='{"spec":{"clusters":{"decisionWriters":[%q]}}}'`,
			credentialset.ShowCommand(set), set.Namespace, set.Name, writer),
			"any user who may write PlacementDecisions in its namespace chooses its clusters, with the rights of its author")
	}
	expiring := meta.FindStatusCondition(set.Status.Conditions, clusterpassv1alpha1.CredentialSetAuthorExpiring)
	if expiring != nil {
		f.warn(about, "The message says how", "%s: %s", expiring.Reason, expiring.Message)
	}
	if ready := meta.FindStatusCondition(set.Status.Conditions, clusterpassv1alpha1.CredentialSetReady); ready != nil && !isAsWanted(ready) {
		f.warn(about, "The message says how", "%s: %s", ready.Reason, ready.Message)
	}
	if len(f) == 0 {
		f.ok(about, "its author has been %q for %s", authorOf(set), duration.HumanDuration(now.Sub(credentialset.AuthorSince(set))))
	}
	return f
}

// isAsWanted returns whether the condition Ready of a set says that all that it is to select has a
// credential. A set is ready, too, if it has all credentials that it may have.
func isAsWanted(ready *metav1.Condition) bool {
	return ready.Status != metav1.ConditionFalse && ready.Reason != clusterpassv1alpha1.CredentialSetReasonAuthorForbidden &&
		ready.Reason != clusterpassv1alpha1.CredentialSetReasonTooManyClusters &&
		ready.Reason != clusterpassv1alpha1.CredentialSetReasonDecisionsNotServed
}

// expectWritersPolicy looks for the policy without which anybody who may write PlacementDecisions
// may do so in the name of others.
func (e *examination) expectWritersPolicy(ctx context.Context, f *findings) {
	about := "ValidatingAdmissionPolicy " + writersPolicy
	policies := e.Kubernetes.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Get(ctx, writersPolicy, metav1.GetOptions{})
	if err == nil {
		_, err = policies.ValidatingAdmissionPolicyBindings().Get(ctx, writersPolicy, metav1.GetOptions{})
	}
	if f.found(about, err, Fail, "Apply it: kubectl apply -f artifacts/deploy/components/external-inventory/decision-writers.yaml",
		"it or its binding is missing: "+
			"users who may write PlacementDecisions may name any writer, and so choose the clusters of sets that select by decisions") {
		f.ok(about, "users who write PlacementDecisions cannot name another writer")
	}
}
