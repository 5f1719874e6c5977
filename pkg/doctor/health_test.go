// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://member.example.com"}}]
users: [{name: u, user: {token: opaque}}]
`

// profileOf returns the profile default/bravelion of a manager, with conditions.
func profileOf(manager string, conditions ...metav1.Condition) *inventoryv1alpha1.ClusterProfile {
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: named("default", "bravelion")}
	profile.Spec.ClusterManager.Name, profile.Status.Conditions = manager, conditions
	return profile
}

func TestHealth_OtherManagers(t *testing.T) {
	const healthy = inventoryv1alpha1.ClusterConditionControlPlaneHealthy
	written := profileOf("our-fleet", condition(healthy, "False", "MemberUnreachable", "gone"))
	written.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "clusterpass-inventory", Subresource: "status"}}
	for name, test := range map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		want    verdict
	}{
		"one that has said nothing": {profileOf("KubeFleet"), warns(`"KubeFleet" has not set`, "the controllers of its manager run")},
		"one that says it is down": {
			profileOf("KubeFleet", condition(healthy, "False", "MemberAgentHeartbeatLost", "lost")),
			fails("MemberAgentHeartbeatLost: lost", "Its manager says so, and not clusterpass"),
		},
		"clusterpass under another name, which has written conditions": {
			written, fails("MemberUnreachable: gone", "docs/troubleshooting.md"),
		},
		"one whose clusters clusterpass imports, which has said nothing": {
			profileOf("karmada.clusterpass.dev"), warns("has not set", "logs deployment/clusterpass-controller-manager"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{})
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{test.profile}
			test.want.expect(t, examine(t, checkHealth, e))
		})
	}
}

// accessEvent is an event about the profile default/bravelion, some seconds after the epoch.
func accessEvent(reason string, seconds int64) *corev1.Event {
	return &corev1.Event{
		ObjectMeta: named("default", fmt.Sprintf("%s-%d", strings.ToLower(reason), seconds)), Reason: reason,
		InvolvedObject: corev1.ObjectReference{Kind: kindProfile, Namespace: "default", Name: "bravelion"},
		EventTime:      metav1.NewMicroTime(time.Unix(seconds, 0)), Message: fmt.Sprintf("%s of %d", reason, seconds),
	}
}

func TestCheckAccess_OtherManagers(t *testing.T) {
	refused := condition("Joined", "False", "ManagedClusterNotJoined", "not joined")
	secret := &corev1.Secret{ObjectMeta: named(SystemNamespace, "member"), Data: map[string][]byte{"kubeconfig": []byte(kubeconfig)}}
	secret.Labels = map[string]string{member.KubeconfigLabel: "true"}
	secret.Annotations = map[string]string{member.ClusterProfileAnnotation: "platform/bravelion, default/bravelion"}
	second, joined := secret.DeepCopy(), secret.DeepCopy()
	second.Name = "second"
	nameless := secret.DeepCopy()
	nameless.Annotations[member.ClusterProfileAnnotation] = "bravelion" // without a namespace
	joined.Annotations[member.MemberUIDAnnotation] = "member-1"
	for name, test := range map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		secrets objects
		want    verdict
	}{
		"one that is adopted gives access": {profileOf("KubeFleet"), objects{secret}, passes("it gives access")},
		"whatever its manager says of its own access": {
			profileOf("open-cluster-management", refused), objects{secret}, passes("it gives access"),
		},
		"one that is not adopted is no failure": {profileOf("KubeFleet"), nil, skips(`its manager is "KubeFleet", and no Secret names it`)},
		"with the command that adopts it": {
			profileOf("KubeFleet"), nil, skips("kubectl clusterpass join bravelion -n default --adopt --member-context=CONTEXT"),
		},
		"a Secret that names none": {profileOf("KubeFleet"), objects{nameless},
			warns("its annotation clusterpass.dev/cluster-profile names no ClusterProfile", "-n clusterpass-system annotate secret member ")},
		"a manager's name is not printed without end": {
			profileOf(strings.Repeat("m", 10_000)), nil, skips(strings.Repeat("m", 90)),
		},
		"one that clusterpass cannot use, by an event, is a failure": {
			profileOf("KubeFleet"),
			objects{secret, accessEvent("AccessRestored", 1), accessEvent("AccessFailed", 2), accessEvent("Other", 3)},
			fails("AccessFailed of 2, as of 1970-01-01T00:00:02Z", "Put a new kubeconfig"),
		},
		"one that clusterpass can use again gives access": {
			profileOf("KubeFleet"), objects{secret, accessEvent("AccessFailed", 1), accessEvent("AccessRestored", 2)}, passes("it gives access"),
		},
		"one of clusterpass has conditions for that": {
			profileOf("clusterpass"), objects{secret, accessEvent("AccessFailed", 1)}, passes("it gives access"),
		},
		"one that two Secrets name is a failure": {
			profileOf("KubeFleet"), objects{secret, second}, fails("several Secrets name it", "Take the name of the ClusterProfile out"),
		},
		"one of clusterpass without a Secret is a failure":        {profileOf("clusterpass"), nil, fails("no Secret", "annotate secret")},
		"one of clusterpass that the member refuses is a failure": {profileOf("clusterpass", refused), objects{secret}, fails("not joined", "")},
		"with the command that mends it, if join has made the Secret": {profileOf("clusterpass", refused), objects{joined},
			fails("not joined", "kubectl clusterpass join bravelion --namespace=default --credential-only --member-context=CONTEXT")},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExamination(&Clients{Kubernetes: fake.NewClientset(test.secrets...)})
			e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{test.profile}
			test.want.expect(t, examine(t, checkAccess, e))
		})
	}
}

// A user without the right to list events gets the other findings.
func TestCheckAccess_EventsForbidden(t *testing.T) {
	secret := &corev1.Secret{ObjectMeta: named(SystemNamespace, "member"), Data: map[string][]byte{"kubeconfig": []byte(kubeconfig)}}
	secret.Labels = map[string]string{member.KubeconfigLabel: "true"}
	secret.Annotations = map[string]string{member.ClusterProfileAnnotation: "default/bravelion"}
	hub := fake.NewClientset(secret)
	hub.PrependReactor("list", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(corev1.Resource("events"), "", errors.New("no"))
	})
	e := newExamination(&Clients{Kubernetes: hub})
	e.hub.profiles.value.items = []*inventoryv1alpha1.ClusterProfile{profileOf("KubeFleet")}
	found := examine(t, checkAccess, e)
	skips("you may not read this").expect(t, found[:1])
	passes("it gives access").expect(t, found[1:])
}
