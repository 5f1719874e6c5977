// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// manyProfiles is how many ClusterProfiles a hub has that is filled.
const manyProfiles = 50

// objects are those of a hub, by namespace/name.
type objects struct {
	profiles  map[string]inventoryv1alpha1.ClusterProfile
	decisions map[string]inventoryv1alpha1.PlacementDecision
}

// fill creates n ClusterProfiles in two namespaces, with all that they can have, and
// PlacementDecisions: one that a ClusterProfile owns and one that a ConfigMap owns. It returns the
// first namespace.
func (c clients) fill(t *testing.T, n int) string {
	t.Helper()
	namespaces := []string{c.namespace(t), c.namespace(t)}
	var profiles []*inventoryv1alpha1.ClusterProfile
	for i := range n {
		profiles = append(profiles, c.createProfile(t, namespaces[i%len(namespaces)], fmt.Sprintf("cluster-%02d", i), i))
	}
	scheduler := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "scheduler"}}
	scheduler = testenv.Create(t, c.kube.CoreV1().ConfigMaps(namespaces[0]), scheduler)
	c.createDecision(t, namespaces[0], "by-profile", inventoryv1alpha1.GroupVersion.String(), "ClusterProfile", profiles[0])
	c.createDecision(t, namespaces[0], "by-scheduler", "v1", "ConfigMap", scheduler)
	return namespaces[0]
}

func (c clients) createProfile(t *testing.T, namespace, name string, i int) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	client := c.inventory.ApisV1alpha1().ClusterProfiles(namespace)
	profile := testenv.Create(t, client, &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{inventoryv1alpha1.LabelClusterManagerKey: "somebody", "tier": fmt.Sprint("t", i%3)},
			Annotations: map[string]string{"example.com/note": "äöü \"quoted\"\nsecond line", "example.com/index": strconv.Itoa(i)},
		},
		Spec: inventoryv1alpha1.ClusterProfileSpec{
			DisplayName: fmt.Sprintf("Cluster %d", i), ClusterManager: inventoryv1alpha1.ClusterManager{Name: "somebody"},
		},
	})
	if i%10 == 9 {
		return profile // one that its manager has not got to yet
	}
	profile.Status = profileStatus(i)
	return testenv.UpdateStatus(t, client, profile)
}

func profileStatus(i int) inventoryv1alpha1.ClusterProfileStatus {
	now := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, i, 0, time.UTC))
	return inventoryv1alpha1.ClusterProfileStatus{
		Version: inventoryv1alpha1.ClusterVersion{Kubernetes: "v1.37.2"},
		Conditions: []metav1.Condition{
			{
				Type: "ControlPlaneHealthy", Status: metav1.ConditionTrue, Reason: "Healthy", Message: "readyz is ok",
				LastTransitionTime: now, ObservedGeneration: 1,
			},
			{Type: "Joined", Status: metav1.ConditionFalse, Reason: "Pending", LastTransitionTime: now},
		},
		Properties: []inventoryv1alpha1.Property{
			{Name: "location.example.com", Value: "somewhere", LastObservedTime: now},
			{Name: "accelerators.example.com", Value: "h100=8"},
		},
		AccessProviders: []inventoryv1alpha1.AccessProvider{{
			Name: "kubeconfig-secretreader",
			Cluster: clientcmdv1.Cluster{
				Server: fmt.Sprintf("https://cluster-%d.example.com:6443", i), CertificateAuthorityData: []byte("not a certificate"),
				Extensions: []clientcmdv1.NamedExtension{{
					Name:      "client.authentication.k8s.io/exec",
					Extension: runtime.RawExtension{Raw: []byte(`{"name":"secret","nested":{"z":1,"a":[true,null,2.5]}}`)},
				}},
			},
		}},
	}
}

func (c clients) createDecision(t *testing.T, namespace, name, apiVersion, kind string, owner metav1.Object) {
	t.Helper()
	reference := metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: owner.GetName(), UID: owner.GetUID()}
	cluster := inventoryv1alpha1.ClusterProfileReference{Name: "cluster-00"}
	testenv.Create(t, c.inventory.ApisV1alpha1().PlacementDecisions(namespace), &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{inventoryv1alpha1.DecisionKeyLabel: name}, OwnerReferences: []metav1.OwnerReference{reference},
		},
		Decisions:     []inventoryv1alpha1.ClusterDecision{{ClusterProfileRef: cluster, Reason: "it has room"}},
		SchedulerName: "scheduler",
	})
}

// list returns all objects that the hub has.
func (c clients) list(t *testing.T) objects {
	t.Helper()
	found := objects{profiles: map[string]inventoryv1alpha1.ClusterProfile{}, decisions: map[string]inventoryv1alpha1.PlacementDecision{}}
	for _, profile := range testenv.List(t, c.inventory.ApisV1alpha1().ClusterProfiles(""), metav1.ListOptions{}).Items {
		found.profiles[profile.Namespace+"/"+profile.Name] = profile
	}
	for _, decision := range testenv.List(t, c.inventory.ApisV1alpha1().PlacementDecisions(""), metav1.ListOptions{}).Items {
		found.decisions[decision.Namespace+"/"+decision.Name] = decision
	}
	return found
}

// requireMoved makes sure that the hub has what it had before, with new UIDs, and that clusterpass
// serves it.
func (c clients) requireMoved(t *testing.T, before objects) {
	t.Helper()
	profiles, decisions := c.hasCRDs(t)
	require.False(t, profiles || decisions, "a CustomResourceDefinition is still there")
	service := c.apiService(t)
	require.NotNil(t, service.Spec.Service)
	require.Empty(t, service.Labels[automanaged])

	after := c.list(t)
	for _, decision := range after.decisions {
		assert.Equal(t, "admin", decision.Annotations[v1alpha1.AnnotationDecisionWriter], "who has migrated it has written it")
		delete(decision.Annotations, v1alpha1.AnnotationDecisionWriter)
	}
	assert.Empty(t, cmp.Diff(before, after, cmp.AllowUnexported(objects{}), cmpopts.EquateEmpty(),
		cmpopts.IgnoreTypes(metav1.TypeMeta{}),
		cmpopts.IgnoreFields(metav1.ObjectMeta{}, "UID", "ResourceVersion", "Generation", "CreationTimestamp", "ManagedFields"),
		cmpopts.IgnoreFields(metav1.OwnerReference{}, "UID")))
	for name, profile := range after.profiles {
		assert.NotEqual(t, before.profiles[name].UID, profile.UID)
	}
	for name, decision := range after.decisions {
		for i, owner := range decision.OwnerReferences {
			want := before.decisions[name].OwnerReferences[i].UID
			if owner.Kind == "ClusterProfile" {
				want = after.profiles[decision.Namespace+"/"+owner.Name].UID
			}
			assert.Equal(t, want, owner.UID, "owner %s of %s", owner.Name, name)
		}
	}
}
