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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

var (
	undiscovered = waits(corev1.NamespaceDeletionDiscoveryFailure, "Discovery failed for some groups, 1 failing: unable to retrieve "+
		"the complete list of server APIs: clusterpass.dev/v1alpha1: stale GroupVersion discovery: clusterpass.dev/v1alpha1")
	grantsRemain = waits(corev1.NamespaceContentRemaining,
		"Some resources are remaining: authtokengrants.clusterpass.dev has 1 resource instances")
	heldByGrants = waits(corev1.NamespaceFinalizersRemaining,
		"Some content in the namespace has finalizers remaining: clusterpass.dev/revoke in 1 resource instances")
	podsRemain = waits(corev1.NamespaceContentRemaining, "Some resources are remaining: pods. has 1 resource instances")
)

// waits returns a condition of a namespace that says what its deletion waits for.
func waits(kind corev1.NamespaceConditionType, message string) corev1.NamespaceCondition {
	return corev1.NamespaceCondition{Type: kind, Status: corev1.ConditionTrue, Message: message}
}

// terminating returns a namespace that is being deleted for some time.
func terminating(name string, since time.Duration, conditions ...corev1.NamespaceCondition) *corev1.Namespace {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{"kept/by-the-fake"}}}
	namespace.DeletionTimestamp = &metav1.Time{Time: testTime.Add(-since)}
	namespace.Status.Conditions = conditions
	return namespace
}

func TestCheckNamespaces(t *testing.T) {
	over := terminating("over", time.Hour, grantsRemain)
	over.Status.Conditions[0].Status = corev1.ConditionFalse
	for name, test := range map[string]struct {
		namespace *corev1.Namespace
		want      verdict
	}{
		"one that is not deleted": {&corev1.Namespace{ObjectMeta: named("", "default")}, passes("none that is being deleted")},
		"one that waits for a server that does not answer": {terminating("team-a", time.Hour, undiscovered),
			fails("being deleted since 2026-05-01T11:00:00Z; NamespaceDeletionDiscoveryFailure: Discovery failed",
				"kubectl delete apiservice v1alpha2.multicluster.x-k8s.io v1alpha1.multicluster.x-k8s.io v1alpha1.clusterpass.dev")},
		"one that waits for grants": {terminating("team-a", time.Hour, heldByGrants, grantsRemain),
			fails("authtokengrants.clusterpass.dev has 1 resource instances; NamespaceFinalizersRemaining",
				"kubectl -n team-a annotate authtokengrants --all clusterpass.dev/abandon-member=true")},
		"one whose grants are being revoked": {terminating("team-a", 10*time.Second, grantsRemain), passes("")},
		"one that waits for others":          {terminating("team-a", time.Hour, podsRemain), passes("")},
		"one that waited":                    {over, passes("")},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examine(t, checkNamespaces, newExamination(&Clients{Kubernetes: fake.NewClientset(test.namespace)})))
		})
	}
}

func TestCheckNamespaces_IsBounded(t *testing.T) {
	var all objects
	long := heldByGrants
	long.Message += strings.Repeat(", example.com/\x1b[31mred in 1 resource instances", 1000)
	for i := range maxNamespaces + 3 {
		all = append(all, terminating(fmt.Sprintf("team-%d", i), time.Hour, long))
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
	refuse(&client.Fake, "list", "namespaces", forbidden("namespaces"))
	skips("you may not read this").expect(t, examine(t, checkNamespaces, newExamination(&Clients{Kubernetes: client})))
}
