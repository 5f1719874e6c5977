// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	clusterpassfake "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/hub"
)

type credentialSet = clusterpassv1alpha1.ClusterCredentialSet

func newSet(name, author string, age time.Duration, changes ...func(*credentialSet)) *credentialSet {
	since := metav1.NewTime(testTime.Add(-age))
	set := &credentialSet{ObjectMeta: named("team", name)}
	set.Spec.Author = &clusterpassv1alpha1.Author{Requester: clusterpassv1alpha1.Requester{Username: author}, Since: &since}
	for _, change := range changes {
		change(set)
	}
	return set
}

func examineSets(t *testing.T, mode string, onHub objects, sets ...runtime.Object) findings {
	t.Helper()
	e := newExamination(&Clients{Kubernetes: fake.NewClientset(onHub...), Clusterpass: clusterpassfake.NewClientset(sets...)})
	e.Inventory = mode
	return examine(t, checkSets, e)
}

func TestCheckSets(t *testing.T) {
	const served, external = hub.InventoryServed, hub.InventoryExternal
	byDecisions := func(writers ...string) func(*credentialSet) {
		return func(set *credentialSet) {
			set.Spec.Clusters = clusterpassv1alpha1.ClusterSelection{DecisionKey: "gpu", DecisionWriters: writers}
		}
	}
	that := func(of string, status metav1.ConditionStatus, reason string) func(*credentialSet) {
		return func(set *credentialSet) {
			set.Status.Conditions = []metav1.Condition{condition(of, status, reason, "the message")}
		}
	}
	policy := objects{
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: named("", writersPolicy)},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: named("", writersPolicy)},
	}
	for name, test := range map[string]struct {
		change func(*credentialSet)
		mode   string
		onHub  objects
		want   verdict
	}{
		"a set is listed with its author, and since when": {func(*credentialSet) {}, served, nil, passes(`its author has been "kim" for 40d`)},
		"one of system:masters is found": {func(set *credentialSet) { set.Spec.Author.Groups = []string{"system:masters"} }, served, nil,
			warns(`its author "kim" is in system:masters`, "kubectl clusterpass renew-author gpu -n team --generation=")},
		"one that goes by anybody's decisions is found": {byDecisions(), served, nil,
			warns("any user who may write PlacementDecisions", `--patch='{"spec":{"clusters":{"decisionWriters":[`)},
		"one whose author's time ends is found": {that("AuthorExpiring", "True", "ExpiresSoon"), served, nil,
			warns("ExpiresSoon: the message", "")},
		"one whose author may not see clusters is found": {that("Ready", "True", "AuthorForbidden"), served, nil,
			warns("AuthorForbidden: the message", "")},
		"one that may not select so many is found": {that("Ready", "True", "TooManyClusters"), served, nil,
			warns("TooManyClusters: the message", "")},
		"one that is not ready is found": {that("Ready", "False", "NotIssued"), served, nil, warns("NotIssued: the message", "")},
		"one that is ready is listed":    {that("Ready", "True", "Ready"), served, nil, passes(`its author has been "kim"`)},
		"with External the policy has to be there": {byDecisions("controller"), external, nil,
			fails("users who may write PlacementDecisions may name any writer", "decision-writers.yaml")},
		"and its binding": {byDecisions("controller"), external, policy[:1], fails("or its binding is", "")},
		"which is enough": {byDecisions("controller"), external, policy, passes("cannot name another writer")},
		"where no set goes by decisions it need not be": {func(*credentialSet) {}, external, nil, passes(`its author has been "kim"`)},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examineSets(t, test.mode, test.onHub, newSet("gpu", "kim", 40*24*time.Hour, test.change)))
		})
	}
	t.Run("sets are by author, those of one by age, and what is wrong comes first", func(t *testing.T) {
		found := examineSets(t, hub.InventoryServed, nil, newSet("a", "kim", time.Hour), newSet("b", "kim", 2*time.Hour),
			newSet("c", "alice", time.Minute), newSet("d", "zoe", time.Hour, byDecisions()))
		var names []string
		for _, f := range found {
			names = append(names, f.About[len("ClusterCredentialSet team/"):])
		}
		assert.Equal(t, []string{"d", "c", "b", "a"}, names)
	})
	t.Run("not all of many are listed", func(t *testing.T) {
		var many objects
		for i := range maxSets + 3 {
			many = append(many, newSet(fmt.Sprintf("set-%d", i), "kim", time.Hour))
		}
		found := examineSets(t, hub.InventoryServed, nil, many...)
		require.Len(t, found, maxSets+1)
		assert.Contains(t, found[maxSets].Message, "3 more sets are not listed")
	})
}
