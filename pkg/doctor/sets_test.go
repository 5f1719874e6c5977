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

func newSet(name, author string, age time.Duration, change func(set *clusterpassv1alpha1.ClusterCredentialSet)) *clusterpassv1alpha1.ClusterCredentialSet {
	since := metav1.NewTime(testTime.Add(-age))
	set := &clusterpassv1alpha1.ClusterCredentialSet{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}}
	set.Spec.Author = &clusterpassv1alpha1.Author{Requester: clusterpassv1alpha1.Requester{Username: author}, Since: &since}
	if change != nil {
		change(set)
	}
	return set
}

func examineSets(t *testing.T, mode string, onHub []runtime.Object, sets ...runtime.Object) findings {
	t.Helper()
	e := newExamination(&Clients{Kubernetes: fake.NewClientset(onHub...), Clusterpass: clusterpassfake.NewClientset(sets...)})
	e.Inventory = mode
	return examine(t, checkSets, e)
}

func TestCheckSets(t *testing.T) {
	byDecisions := func(writers ...string) func(set *clusterpassv1alpha1.ClusterCredentialSet) {
		return func(set *clusterpassv1alpha1.ClusterCredentialSet) {
			set.Spec.Clusters = clusterpassv1alpha1.ClusterSelection{DecisionKey: "gpu", DecisionWriters: writers}
		}
	}
	condition := func(of string, status metav1.ConditionStatus, reason string) func(set *clusterpassv1alpha1.ClusterCredentialSet) {
		return func(set *clusterpassv1alpha1.ClusterCredentialSet) {
			set.Status.Conditions = []metav1.Condition{{Type: of, Status: status, Reason: reason, Message: "the message"}}
		}
	}
	policy := []runtime.Object{
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: writersPolicy}},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: writersPolicy}},
	}
	for name, test := range map[string]struct {
		change func(set *clusterpassv1alpha1.ClusterCredentialSet)
		mode   string
		onHub  []runtime.Object
		want   verdict
	}{
		"a set is listed with its author, and since when": {nil, hub.InventoryServed, nil, verdict{OK, `its author has been "kim" for 40d`, ""}},
		"one of system:masters is found": {func(set *clusterpassv1alpha1.ClusterCredentialSet) {
			set.Spec.Author.Groups = []string{"system:masters"}
		}, hub.InventoryServed, nil, verdict{Warn, `its author "kim" is in system:masters`, "kubectl clusterpass renew-author gpu -n team --generation="}},
		"one that goes by anybody's decisions is found":  {byDecisions(), hub.InventoryServed, nil, verdict{Warn, "any user who may write PlacementDecisions", "--patch='{\"spec\":{\"clusters\":{\"decisionWriters\":["}},
		"one whose author's time ends is found":          {condition("AuthorExpiring", "True", "ExpiresSoon"), hub.InventoryServed, nil, verdict{Warn, "ExpiresSoon: the message", ""}},
		"one whose author may not see clusters is found": {condition("Ready", "True", "AuthorForbidden"), hub.InventoryServed, nil, verdict{Warn, "AuthorForbidden: the message", ""}},
		"one that may not select so many is found":       {condition("Ready", "True", "TooManyClusters"), hub.InventoryServed, nil, verdict{Warn, "TooManyClusters: the message", ""}},
		"one that is not ready is found":                 {condition("Ready", "False", "NotIssued"), hub.InventoryServed, nil, verdict{Warn, "NotIssued: the message", ""}},
		"one that is ready is listed":                    {condition("Ready", "True", "Ready"), hub.InventoryServed, nil, verdict{OK, `its author has been "kim"`, ""}},
		"with External the policy has to be there":       {byDecisions("controller"), hub.InventoryExternal, nil, verdict{Fail, "users who may write PlacementDecisions may name any writer", "decision-writers.yaml"}},
		"and its binding":                                {byDecisions("controller"), hub.InventoryExternal, policy[:1], verdict{Fail, "or its binding is", ""}},
		"which is enough":                                {byDecisions("controller"), hub.InventoryExternal, policy, verdict{OK, "cannot name another writer", ""}},
		"where no set goes by decisions it need not be":  {nil, hub.InventoryExternal, nil, verdict{OK, `its author has been "kim"`, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examineSets(t, test.mode, test.onHub, newSet("gpu", "kim", 40*24*time.Hour, test.change)))
		})
	}
	t.Run("sets are by author, those of one by age, and what is wrong comes first", func(t *testing.T) {
		found := examineSets(t, hub.InventoryServed, nil, newSet("a", "kim", time.Hour, nil), newSet("b", "kim", 2*time.Hour, nil),
			newSet("c", "alice", time.Minute, nil), newSet("d", "zoe", time.Hour, byDecisions()))
		var names []string
		for _, f := range found {
			names = append(names, f.About[len("ClusterCredentialSet team/"):])
		}
		assert.Equal(t, []string{"d", "c", "b", "a"}, names)
	})
	t.Run("not all of many are listed", func(t *testing.T) {
		var many []runtime.Object
		for i := range maxSets + 3 {
			many = append(many, newSet(fmt.Sprintf("set-%d", i), "kim", time.Hour, nil))
		}
		found := examineSets(t, hub.InventoryServed, nil, many...)
		require.Len(t, found, maxSets+1)
		assert.Contains(t, found[maxSets].Message, "3 more sets are not listed")
	})
}
