// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/tools/pager"

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
func checkSets(ctx context.Context, e *examination) findings {
	var f findings
	all, err := e.sets(ctx, metav1.NamespaceAll)
	if apierrors.IsForbidden(err) && e.Namespace != "" {
		var inOne error
		if all, inOne = e.sets(ctx, e.Namespace); inOne == nil {
			f.skip("ClusterCredentialSets", "you may not list those of all namespaces: only %s is checked", e.Namespace)
			err = nil
		}
	}
	if err != nil {
		f.unknown("ClusterCredentialSets", err)
		return f
	}
	byDecisions := 0
	reports := make([]findings, 0, len(all))
	for _, set := range all {
		if set.Spec.Clusters.DecisionKey != "" {
			byDecisions++
		}
		reports = append(reports, setFindings(set, cmp.Or(e.ManagerUser, DefaultManagerUser), e.now()))
	}
	slices.SortStableFunc(reports, func(a, b findings) int { return cmp.Compare(severity[Worst(b)], severity[Worst(a)]) })
	for _, report := range reports[:min(len(reports), maxSets)] {
		f = append(f, report...)
	}
	if left := len(reports) - maxSets; left > 0 {
		f.skip("", "%d more sets are not listed: kubectl get clustercredentialsets -A -o "+
			"custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,AUTHOR:.spec.author.username,SINCE:.spec.author.since", left)
	}
	if byDecisions > 0 && e.mode() == hub.InventoryExternal {
		e.expectWritersPolicy(ctx, &f)
	}
	if len(all) == 0 {
		f.ok("", "there is no ClusterCredentialSet")
	}
	return f
}

// sets returns the ClusterCredentialSets of a namespace, by their authors, those of one by their
// age, the oldest first.
func (e *examination) sets(ctx context.Context, namespace string) ([]*clusterpassv1alpha1.ClusterCredentialSet, error) {
	var all []*clusterpassv1alpha1.ClusterCredentialSet
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return e.Clusterpass.ClusterpassV1alpha1().ClusterCredentialSets(namespace).List(ctx, options)
	})
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(object runtime.Object) error {
		set, ok := object.(*clusterpassv1alpha1.ClusterCredentialSet)
		if !ok {
			return fmt.Errorf("not a ClusterCredentialSet: %T", object)
		}
		all = append(all, set)
		return nil
	})
	slices.SortFunc(all, func(a, b *clusterpassv1alpha1.ClusterCredentialSet) int {
		return cmp.Or(cmp.Compare(authorOf(a), authorOf(b)), credentialset.AuthorSince(a).Compare(credentialset.AuthorSince(b)),
			cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all, err
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
	about := "ClusterCredentialSet " + set.Namespace + "/" + set.Name
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
		ready.Reason != clusterpassv1alpha1.CredentialSetReasonTooManyClusters
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
	switch {
	case apierrors.IsNotFound(err):
		f.fail(about, "Apply it: kubectl apply -f artifacts/deploy/components/external-inventory/decision-writers.yaml",
			"it or its binding is missing: "+
				"users who may write PlacementDecisions may name any writer, and so choose the clusters of sets that select by decisions")
	case err != nil:
		f.unknown(about, err)
	default:
		f.ok(about, "users who write PlacementDecisions cannot name another writer")
	}
}
