// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// decisionsOf returns a client for the PlacementDecisions of team as a user.
func (f *fleet) decisionsOf(t *testing.T, user string) inventoryclient.PlacementDecisionInterface {
	t.Helper()
	return testenv.Inventory(t, f.hub.User(t, user)).ApisV1alpha1().PlacementDecisions(team)
}

// decision names clusters of namespace default, for the sets that go by key.
func decision(name, key string, clusters ...string) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{inventoryv1alpha1.DecisionKeyLabel: key}},
		Decisions:  []inventoryv1alpha1.ClusterDecision{},
	}
	for _, cluster := range clusters {
		slice.Decisions = append(slice.Decisions, inventoryv1alpha1.ClusterDecision{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Namespace: "default", Name: cluster},
		})
	}
	return slice
}

// untilSays waits until the condition Ready of a set has words in its message, and returns the set.
func (f *fleet) untilSays(t *testing.T, name, words string) *v1alpha1.ClusterCredentialSet {
	t.Helper()
	return testenv.Await(t, f.ours(t), name, func(set *v1alpha1.ClusterCredentialSet) error {
		if is := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetReady); is == nil || !strings.Contains(is.Message, words) {
			return fmt.Errorf("the condition is %+v, want %q in it", is, words)
		}
		return nil
	})
}

// testDecisions has mallory, who may edit in the set's namespace, try to choose the clusters of a
// set of kim's.
func (f *fleet) testDecisions(t *testing.T) {
	const mallory, key, writer = "mallory", "hot", v1alpha1.AnnotationDecisionWriter
	testenv.Bind(t, f.admin, team, mallory, testenv.UserSubject(mallory), "edit")
	hostile, ours := f.decisionsOf(t, mallory), f.decisionsOf(t, v1alpha1.ControllerManagerUser)

	set := newSet("decided")
	set.Spec.Clusters = v1alpha1.ClusterSelection{Namespace: "default", DecisionKey: key}
	set.Spec.Secret.Format = v1alpha1.SecretFormatArgoCD
	created := f.create(t, author, set)
	assert.Equal(t, []string{v1alpha1.ControllerManagerUser}, created.Spec.Clusters.DecisionWriters)

	// What mallory makes, she has written, whatever she claims.
	claimed := decision("claimed", key, "smartfish")
	claimed.Annotations = map[string]string{writer: v1alpha1.ControllerManagerUser}
	made := testenv.Create(t, hostile, claimed)
	assert.Equal(t, mallory, made.Annotations[writer])
	made = update(t, hostile, "claimed", func(slice *inventoryv1alpha1.PlacementDecision) {
		slice.Annotations[writer] = v1alpha1.ControllerManagerUser
	})
	assert.Equal(t, mallory, made.Annotations[writer])
	is := f.untilSays(t, "decided",
		`do not count: 1. The first is claimed: it is written by "mallory", whom spec.clusters.decisionWriters does not name`)
	assert.Empty(t, is.Status.Credentials)

	// A decision of the controller manager's that belongs to no Placement does not count, also not
	// under a key that mallory gives it.
	testenv.Create(t, ours, decision("any", "cold", "smartfish"))
	made = update(t, hostile, "any", func(slice *inventoryv1alpha1.PlacementDecision) {
		slice.Labels[inventoryv1alpha1.DecisionKeyLabel] = key
	})
	assert.Equal(t, mallory, made.Annotations[writer])
	testenv.Create(t, ours, decision("a-stray", key, "smartfish"))
	f.untilSays(t, "decided", `do not count: 3. The first is a-stray: it belongs to no Placement`)

	// One of a Placement of kim's does.
	testenv.Patch(t, f.admin.CoreV1().Namespaces(), "default", `{"metadata":{"labels":{"multicluster.x-k8s.io/clusterset":"prod"}}}`)
	placements := f.as(t, author).ClusterpassV1alpha1().Placements(team)
	only := v1alpha1.ClusterPredicate{}
	only.RequiredClusterSelector.LabelSelector.MatchLabels = map[string]string{"cluster": "bravelion"}
	testenv.Create(t, placements, &v1alpha1.Placement{
		ObjectMeta: metav1.ObjectMeta{Name: key},
		Spec:       v1alpha1.PlacementSpec{ClusterSets: []string{"prod"}, Predicates: []v1alpha1.ClusterPredicate{only}},
	})
	f.until(t, "decided", "Ready")
	secret := f.secret(t, "decided-bravelion")
	assert.Equal(t, "cluster", secret.Labels["argocd.argoproj.io/secret-type"])
	assert.Equal(t, "bravelion", string(secret.Data["name"]))

	// What she changes does not count, and the credential is kept until the controller manager has
	// written it again.
	const slice = key + "-decision-1"
	made = update(t, hostile, slice, func(slice *inventoryv1alpha1.PlacementDecision) {
		slice.Decisions[0].ClusterProfileRef.Name = "smartfish"
	})
	assert.Equal(t, mallory, made.Annotations[writer])
	testenv.Await(t, hostile, slice, func(made *inventoryv1alpha1.PlacementDecision) error {
		if made.Annotations[writer] != v1alpha1.ControllerManagerUser || made.Decisions[0].ClusterProfileRef.Name != "bravelion" {
			return fmt.Errorf("the decision is still hers: %+v", made)
		}
		return nil
	})
	f.until(t, "decided", "Ready")
	now := f.secret(t, "decided-bravelion")
	assert.Equal(t, secret.UID, now.UID)
	assert.Equal(t, secret.ResourceVersion, now.ResourceVersion, "nothing was minted")
	grants, grant := f.as(t, author).ClusterpassV1alpha1().AuthTokenGrants(team), secret.Annotations["clusterpass.dev/credential-grant"]
	testenv.Get(t, grants, grant)
	_, err := f.admin.CoreV1().Secrets(consumers).Get(t.Context(), "decided-smartfish", metav1.GetOptions{})
	require.Error(t, err, "mallory has chosen a cluster")

	// A bound holds, also for those who count.
	update(t, f.setsOf(t, author), "decided", func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Clusters.Names = []string{"bravelion"} })
	update(t, placements, key, func(stored *v1alpha1.Placement) { stored.Spec.Predicates = nil })
	testenv.Await(t, hostile, slice, func(made *inventoryv1alpha1.PlacementDecision) error {
		if len(made.Decisions) < 2 {
			return errors.New("both clusters are not decided yet")
		}
		return nil
	})
	assert.Equal(t, int32(1), f.until(t, "decided", "Ready").Status.Selected)

	// She can take the decision from its Placement, and does not freeze it: it counts no more. After a
	// while the cluster is given up.
	testenv.Patch(t, hostile, slice, `{"metadata":{"ownerReferences":null}}`)
	f.until(t, "decided", v1alpha1.CredentialSetReasonNoClusters)
	testenv.AwaitGone(t, f.admin.CoreV1().Secrets(consumers), secret.Name)
	testenv.AwaitGone(t, grants, grant)
}

// testAuthorMayNotSee has nora, who may have tokens and not see which clusters there are, keep
// sets.
func (f *fleet) testAuthorMayNotSee(t *testing.T) {
	const nora, refused = "nora", v1alpha1.CredentialSetReasonAuthorForbidden
	f.entitle(t, nora, "view")
	role := testenv.Get(t, f.admin.RbacV1().ClusterRoles(), nora)
	seeing := role.DeepCopy()
	role.Rules[1].Verbs = role.Rules[1].Verbs[2:]
	blind := testenv.Update(t, f.admin.RbacV1().ClusterRoles(), role)

	byLabels, byNames := newSet("by-labels", "bravelion", "smartfish"), newSet("by-names")
	byNames.Spec.Clusters = v1alpha1.ClusterSelection{Namespace: "default", Names: []string{"bravelion", "not-there"}}
	byDecision := newSet("by-decision")
	byDecision.Spec.Clusters = v1alpha1.ClusterSelection{Namespace: "default", DecisionKey: "any", DecisionWriters: []string{nora}}
	testenv.Create(t, f.decisionsOf(t, nora), decision("any-1", "any", "bravelion"))
	for _, set := range []*v1alpha1.ClusterCredentialSet{byLabels, byNames, byDecision} {
		f.create(t, nora, set)
		is := f.until(t, set.Name, refused)
		assert.Zero(t, is.Status.Selected)
		assert.Empty(t, is.Status.Credentials)
		require.Len(t, is.Status.Conditions, 1, "there is one condition")
		if set != byNames {
			assert.NotContains(t, is.Status.Conditions[0].Message, "bravelion")
		}
		assert.Contains(t, is.Status.Conditions[0].Message, "kubectl -n default create role select-clusters --verb=")
	}
	// What looks like a credential of the set, and has no grant, makes it tell no more.
	by := f.until(t, "by-labels", refused)
	testenv.Create(t, f.admin.CoreV1().Secrets(consumers), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Name: "by-labels-bravelion", Labels: map[string]string{v1alpha1.LabelCredentialSetUID: string(by.UID)},
		Annotations: map[string]string{"clusterpass.dev/credential-cluster": "bravelion"},
	}})
	update(t, f.setsOf(t, nora), "by-labels", func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Secret.Labels["looked-at"] = "yes" })
	testenv.AwaitGone(t, f.admin.CoreV1().Secrets(consumers), "by-labels-bravelion")
	by = f.until(t, "by-labels", refused)
	assert.Zero(t, by.Status.Selected)
	assert.Empty(t, by.Status.Credentials)
	assert.Empty(t, testenv.List(t, f.admin.EventsV1().Events(team), metav1.ListOptions{FieldSelector: "regarding.name=by-labels"}).Items)

	// Once she may see them, her sets have what they select.
	seeing.ResourceVersion = blind.ResourceVersion
	seeing = testenv.Update(t, f.admin.RbacV1().ClusterRoles(), seeing)
	for name, selected := range map[string]int32{"by-labels": 2, "by-names": 1, "by-decision": 1} {
		assert.Equal(t, selected, f.until(t, name, "Ready").Status.Selected, name)
	}

	// When she may no more, what there is goes on being renewed, and nothing comes.
	before := f.secret(t, "by-labels-bravelion")
	f.remove(t, "by-names")
	require.NoError(t, f.admin.CoreV1().Secrets(consumers).Delete(t.Context(), "by-labels-smartfish", metav1.DeleteOptions{}))
	testenv.Await(t, f.admin.CoreV1().Secrets(consumers), "by-labels-smartfish", nil)
	seeing.Rules[1].Verbs = seeing.Rules[1].Verbs[2:]
	testenv.Update(t, f.admin.RbacV1().ClusterRoles(), seeing)
	update(t, f.setsOf(t, nora), "by-labels", func(set *v1alpha1.ClusterCredentialSet) {
		set.Spec.Secret.Labels["changed"] = "yes"
		metav1.SetMetaDataAnnotation(&set.ObjectMeta, v1alpha1.AnnotationRotate, "1")
	})
	is := f.until(t, "by-labels", refused)
	assert.Equal(t, metav1.ConditionTrue, is.Status.Conditions[0].Status, "%+v", is.Status)
	assert.Equal(t, int32(2), is.Status.Selected)
	f.changed(t, before)
	// No selector is tried on what she may not see.
	f.label(t, "bravelion", "other")
	update(t, f.setsOf(t, nora), "by-labels", func(set *v1alpha1.ClusterCredentialSet) { set.Spec.Secret.Labels["changed"] = "again" })
	testenv.Eventually(t, func(context.Context) error {
		for _, name := range []string{"by-labels-smartfish", "by-labels-bravelion"} {
			if f.secret(t, name).Labels["changed"] != "again" {
				return fmt.Errorf("Secret %s is not written yet", name)
			}
		}
		return nil
	})
	assert.Equal(t, int32(2), f.until(t, "by-labels", refused).Status.Selected)
	f.label(t, "bravelion", "bravelion")
}
