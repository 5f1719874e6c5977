// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

const (
	undiscovered = "Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: clusterpass.dev/v1alpha1: stale GroupVersion discovery: clusterpass.dev/v1alpha1"
	grantsRemain = "Some resources are remaining: authtokengrants.clusterpass.dev has 1 resource instances"
	heldByGrants = "Some content in the namespace has finalizers remaining: clusterpass.dev/revoke in 1 resource instances"
	podsRemain   = "Some resources are remaining: pods. has 1 resource instances"
)

// terminating returns a namespace that is being deleted for some time, with conditions of a type
// and a message each.
func terminating(name string, since time.Duration, conditions ...string) *corev1.Namespace {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, DeletionTimestamp: &metav1.Time{Time: testTime.Add(-since)}, Finalizers: []string{"kept/by-the-fake"}}}
	for i := 0; i < len(conditions); i += 2 {
		namespace.Status.Conditions = append(namespace.Status.Conditions, corev1.NamespaceCondition{
			Type: corev1.NamespaceConditionType(conditions[i]), Status: corev1.ConditionTrue, Message: conditions[i+1],
		})
	}
	return namespace
}

func TestCheckNamespaces(t *testing.T) {
	over := terminating("over", time.Hour, string(corev1.NamespaceContentRemaining), grantsRemain)
	over.Status.Conditions[0].Status = corev1.ConditionFalse
	for name, test := range map[string]struct {
		namespace *corev1.Namespace
		want      verdict
	}{
		"one that is not deleted": {&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, verdict{OK, "none that is being deleted", ""}},
		"one that waits for a server that does not answer": {
			terminating("team-a", time.Hour, string(corev1.NamespaceDeletionDiscoveryFailure), undiscovered),
			verdict{Fail, "being deleted since 2026-05-01T11:00:00Z; NamespaceDeletionDiscoveryFailure: Discovery failed", "kubectl delete apiservice v1alpha1.multicluster.x-k8s.io v1alpha1.clusterpass.dev"},
		},
		"one that waits for grants": {
			terminating("team-a", time.Hour, string(corev1.NamespaceFinalizersRemaining), heldByGrants, string(corev1.NamespaceContentRemaining), grantsRemain),
			verdict{Fail, "authtokengrants.clusterpass.dev has 1 resource instances; NamespaceFinalizersRemaining", "kubectl -n team-a annotate authtokengrants --all clusterpass.dev/abandon-member=true"},
		},
		"one whose grants are being revoked": {terminating("team-a", 10*time.Second, string(corev1.NamespaceContentRemaining), grantsRemain), verdict{verdict: OK}},
		"one that waits for others":          {terminating("team-a", time.Hour, string(corev1.NamespaceContentRemaining), podsRemain), verdict{verdict: OK}},
		"one that waited":                    {over, verdict{verdict: OK}},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examine(t, checkNamespaces, newExamination(&Clients{Kubernetes: fake.NewClientset(test.namespace)})))
		})
	}
}

func TestCheckNamespaces_IsBounded(t *testing.T) {
	var all []runtime.Object
	for i := range maxNamespaces + 3 {
		all = append(all, terminating(fmt.Sprintf("team-%d", i), time.Hour,
			string(corev1.NamespaceFinalizersRemaining), heldByGrants+strings.Repeat(", example.com/\x1b[31mred in 1 resource instances", 1000)))
	}
	found := examine(t, checkNamespaces, newExamination(&Clients{Kubernetes: fake.NewClientset(all...)}))
	require.Len(t, found, maxNamespaces+1)
	for _, finding := range found {
		assert.Less(t, len(finding.Message), 2*maxCondition)
		assert.NotContains(t, finding.Message, "\x1b")
	}
	assert.Contains(t, found[maxNamespaces].Message, "3 more")
}

func TestCheckNamespaces_Forbidden(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("list", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("namespaces"), "", nil)
	})
	verdict{Skip, "you may not read this", ""}.expect(t, examine(t, checkNamespaces, newExamination(&Clients{Kubernetes: client})))
}
