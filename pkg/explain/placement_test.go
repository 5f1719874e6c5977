// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package explain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubefake "k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// author is that of the placements.
	author = "author"
	// refused is a namespace whose ClusterProfiles the author may not list, and unreviewed one of
	// which the user may not ask that.
	refused, unreviewed = "refused", "unreviewed"
)

// namespace returns one of a cluster set.
func namespace(name, set string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{scheduling.ClusterSetLabel: set}}}
}

type objects = []runtime.Object

// hub returns one with namespaces and Placement team/gpu, for some cluster sets. Its user may not
// list the ClusterProfiles of hidden namespaces.
func hub(sets []string, namespaces objects, hidden []string, profiles ...runtime.Object) *Hub {
	placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "gpu"}}
	placement.Spec.ClusterSets = sets
	placement.Spec.Author = &v1alpha1.Author{Requester: v1alpha1.Requester{Username: author}}
	client := kubefake.NewClientset(namespaces...)
	client.PrependReactor("create", "subjectaccessreviews", func(action ktesting.Action) (bool, runtime.Object, error) {
		review, ok := action.(ktesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		if !ok || review.Spec.ResourceAttributes.Namespace == unreviewed {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "subjectaccessreviews"}, "", nil)
		}
		review = review.DeepCopy()
		review.Status.Allowed = review.Spec.User == author && review.Spec.ResourceAttributes.Namespace != refused
		return true, review, nil
	})
	clusters := inventoryfake.NewSimpleClientset(profiles...)
	for _, name := range hidden {
		clusters.PrependReactor("list", "clusterprofiles", func(action ktesting.Action) (bool, runtime.Object, error) {
			refused := apierrors.NewForbidden(schema.GroupResource{Resource: "clusterprofiles"}, "", nil)
			return action.GetNamespace() == name, nil, refused
		})
	}
	return &Hub{Kubernetes: client, Client: fake.NewSimpleClientset(placement), Inventory: clusters}
}

func TestHub_PlacementWithoutCandidates(t *testing.T) {
	elsewhere := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "bravelion"}}
	leaving := namespace("elsewhere", "production")
	leaving.DeletionTimestamp = &metav1.Time{Time: time.Now()}
	leaving.Finalizers = []string{"example.com/held"}
	production := []string{"production"}
	for name, test := range map[string]struct {
		sets       []string
		namespaces objects
		hidden     []string
		want       string
	}{
		"its own namespace is empty": {
			want: "namespace team has no ClusterProfile, and without spec.clusterSets a Placement chooses from its own namespace alone"},
		"no namespace is in the sets": {sets: []string{"production", "staging"}, namespaces: objects{namespace("elsewhere", "test")},
			want: "no namespace has the label multicluster.x-k8s.io/clusterset=production or staging: none is in a cluster set of spec.clusterSets"},
		"the only one is being deleted": {sets: production, namespaces: objects{leaving},
			want: "no namespace has the label multicluster.x-k8s.io/clusterset=production: none is in a cluster set of spec.clusterSets"},
		"those of the sets are empty": {
			sets: production, namespaces: objects{namespace("north", "production"), namespace("south", "production")},
			want: "no namespace in its cluster sets has a ClusterProfile: north, south",
		},
		"those of the sets are not the user's to list": {
			sets: production, namespaces: objects{namespace("elsewhere", "production")}, hidden: []string{"elsewhere"},
			want: "you may not list the ClusterProfiles of the namespaces in its cluster sets: elsewhere",
		},
		"those of the sets are not the author's to list": {sets: production, namespaces: objects{namespace(refused, "production")},
			want: "its author may not list the ClusterProfiles of the namespaces in its cluster sets: refused"},
		"some are empty and the user may not list others": {
			sets: production, namespaces: objects{namespace("elsewhere", "production"), namespace("north", "production")},
			hidden: []string{"elsewhere"},
			want:   "of the namespaces in its cluster sets, north have no ClusterProfile, and you may not list those of elsewhere",
		},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := hub(test.sets, test.namespaces, test.hidden, elsewhere).Placement(t.Context(), "team", "gpu", time.Now())
			require.NoError(t, err)
			assert.Empty(t, answer.Explanations)
			assert.Equal(t, test.want, answer.None)
		})
	}
}

func TestHub_PlacementWithCandidates(t *testing.T) {
	cluster := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "north", Name: "bravelion"}}
	broken := cluster.DeepCopy()
	broken.Name, broken.Annotations = "broken", map[string]string{v1alpha1.AnnotationTaints: "{"}
	var namespaces objects
	for _, name := range []string{"north", "elsewhere", refused, unreviewed} {
		namespaces = append(namespaces, namespace(name, "production"))
	}
	answer, err := hub([]string{"production"}, namespaces, []string{"elsewhere"}, cluster, broken).
		Placement(t.Context(), "team", "gpu", time.Now())
	require.NoError(t, err)
	require.Len(t, answer.Explanations, 1)
	assert.Empty(t, answer.None)
	assert.Equal(t, []string{"elsewhere"}, answer.Hidden)
	assert.Equal(t, []string{refused}, answer.Refused)
	assert.Equal(t, []string{unreviewed}, answer.Unreviewed)
	require.Len(t, answer.Unreadable, 1)
	assert.Contains(t, answer.Unreadable[0], "ClusterProfile north/broken")
}

// What counts as decided before, for the scores of Steady and Balance.
func TestHub_PlacementDecisions(t *testing.T) {
	cluster := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bravelion"}}
	cluster.Status.Conditions = []metav1.Condition{{Type: inventoryv1alpha1.ClusterConditionControlPlaneHealthy, Status: metav1.ConditionTrue}}
	ownedBy := func(apiVersion string) *inventoryv1alpha1.PlacementDecision {
		owner := metav1.NewControllerRef(&metav1.ObjectMeta{Name: "gpu"}, schema.FromAPIVersionAndKind(apiVersion, "Placement"))
		slice := &inventoryv1alpha1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{
			Namespace: "team", Name: "gpu-decision-1", OwnerReferences: []metav1.OwnerReference{*owner},
		}}
		slice.Decisions = []inventoryv1alpha1.ClusterDecision{{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: "bravelion"}}}
		return slice
	}
	explained := func(h *Hub) []scheduling.Explanation {
		answer, err := h.Placement(t.Context(), "team", "gpu", time.Now())
		require.NoError(t, err)
		require.Len(t, answer.Explanations, 1)
		return answer.Explanations
	}
	none := explained(hub(nil, nil, nil, cluster))
	assert.NotEqual(t, none, explained(hub(nil, nil, nil, cluster, ownedBy("clusterpass.dev/v1alpha1"))))
	assert.Equal(t, none, explained(hub(nil, nil, nil, cluster, ownedBy("cluster.open-cluster-management.io/v1beta1"))),
		"a Placement of another group that has its name is another one")

	without := hub(nil, nil, nil, cluster)
	without.Inventory.(*inventoryfake.Clientset).PrependReactor("list", "placementdecisions",
		func(ktesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewGenericServerResponse(404, "list", schema.GroupResource{}, "", "404 page not found", 0, true)
		})
	assert.Equal(t, none, explained(without), "a hub without PlacementDecisions has decided nothing")
}

func TestControllerCondition(t *testing.T) {
	refused := metav1.Condition{
		Type: v1alpha1.PlacementSatisfied, Status: "False", Reason: v1alpha1.PlacementReasonNoClusterSets, ObservedGeneration: 2,
	}
	with := func(change func(*metav1.Condition)) *v1alpha1.Placement {
		condition := refused
		change(&condition)
		placement := &v1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
		placement.Status.Conditions = []metav1.Condition{condition}
		return placement
	}
	assert.Equal(t, &refused, controllerCondition(with(func(*metav1.Condition) {})))
	assert.Nil(t, controllerCondition(with(func(c *metav1.Condition) { c.Status = metav1.ConditionTrue })), "all is well")
	assert.Nil(t, controllerCondition(with(func(c *metav1.Condition) { c.ObservedGeneration = 1 })), "it is about an older spec")
	assert.Nil(t, controllerCondition(with(func(c *metav1.Condition) { c.Reason = v1alpha1.PlacementReasonNoClusterMatched })),
		"it sends the user here")
	assert.Nil(t, controllerCondition(with(func(c *metav1.Condition) { c.Type = v1alpha1.PlacementMisconfigured })))
}
