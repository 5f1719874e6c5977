// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestDecisions_Doubts(t *testing.T) {
	orphan := decided("gpu-decision-1", signer, "bravelion")
	ownedBy := func(kind, name string, uid types.UID) *inventoryv1alpha1.PlacementDecision {
		slice, owner := orphan.DeepCopy(), &metav1.ObjectMeta{Name: name, UID: uid}
		slice.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(owner, v1alpha1.SchemeGroupVersion.WithKind(kind))}
		return slice
	}
	for name, test := range map[string]struct {
		slice *inventoryv1alpha1.PlacementDecision
		why   string
	}{
		"one of a Placement counts":                    {ownedBy("Placement", "gpu", "placement-1"), ""},
		"one that was orphaned does not":               {orphan, "it belongs to no Placement"},
		"nor one of another kind":                      {ownedBy("Pod", "gpu", "placement-1"), "it belongs to no Placement"},
		"nor one of a Placement that is gone":          {ownedBy("Placement", "cpu", "placement-1"), "its Placement is gone"},
		"nor one of a Placement that was made again":   {ownedBy("Placement", "gpu", "placement-0"), "its Placement is gone"},
		"nor one that was given to another Placement":  {ownedBy("Placement", "own", "own-1"), "it has the key of another Placement"},
		"nor one of a Placement that is being deleted": {ownedBy("Placement", "held", "held-1"), "its Placement is being deleted"},
		"nor one of another writer": {decided("a", "mallory", "bravelion"),
			`it is written by "mallory", whom spec.clusters.decisionWriters does not name`},
		"one of another writer that counts needs none": {decided("a", "kim", "bravelion"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			for _, meta := range []metav1.ObjectMeta{
				{Name: "gpu", UID: "placement-1"}, {Name: "own", UID: "own-1"},
				{Name: "held", UID: "held-1", DeletionTimestamp: &metav1.Time{Time: time.Now()}, Finalizers: []string{"x/y"}},
			} {
				meta.Namespace = "team"
				require.NoError(t, h.placementsThere.Add(&v1alpha1.Placement{ObjectMeta: meta}))
			}
			assert.Equal(t, test.why, h.doubts(test.slice, []string{signer, "kim"}))
		})
	}
	t.Run("one that is being deleted does not count, whoever may hold it up", func(t *testing.T) {
		slice := decided("a", "kim", "bravelion")
		slice.DeletionTimestamp, slice.Finalizers = &metav1.Time{Time: time.Now()}, []string{"x/y"}
		found, err := newHub(t, slice).matching(t.Context(), setOf(decidedBy("kim")))
		require.NoError(t, err)
		assert.Empty(t, found)
	})
}

// Slices that share their index, as other schedulers write them.
func TestDecisions_Tied(t *testing.T) {
	slice := func(name, index, cluster string) *inventoryv1alpha1.PlacementDecision {
		slice := decided(name, "kim", cluster)
		slice.Labels[inventoryv1alpha1.DecisionIndexLabel] = index
		return slice
	}
	message := func(h *hub, set *v1alpha1.ClusterCredentialSet) string {
		selected, err := h.selectClusters(t.Context(), set)
		require.NoError(t, err)
		assert.Len(t, selected.clusters, 2, "no cluster is lost")
		setReady(set, metav1.Condition{Type: v1alpha1.CredentialSetReady, Status: metav1.ConditionTrue, Message: "ready"}, selected)
		return meta.FindStatusCondition(set.Status.Conditions, v1alpha1.CredentialSetReady).Message
	}
	h := newHub(t, slice("b", "0", "bravelion"), slice("a", "0", "smartfish"))
	assert.Equal(t, "ready; PlacementDecisions that share their decision-index are ordered by name: a, b", message(h, setOf(decidedBy("kim"))))
	found, err := h.decided(t.Context(), setOf(decidedBy("kim")))
	require.NoError(t, err)
	assert.Equal(t, []string{"smartfish", "bravelion"}, found.names)

	h = newHub(t, slice("b", "0", "bravelion"), slice("a", "1", "smartfish"))
	assert.Equal(t, "ready", message(h, setOf(decidedBy("kim"))))

	ignored := slice("c", "0", "bravelion")
	ignored.Annotations[v1alpha1.AnnotationDecisionWriter] = "mallory"
	h = newHub(t, slice("b", "0", "bravelion"), slice("a", "1", "smartfish"), ignored)
	assert.NotContains(t, message(h, setOf(decidedBy("kim"))), "ordered by name", "a slice that does not count ties with none")
}

// On a hub without PlacementDecisions, a set that selects by them keeps what it has, and says why.
func TestDecisions_NotServed(t *testing.T) {
	h, set := newHub(t), setOf(decidedBy("kim"))
	kube := fake.NewClientset()
	informer := inventoryinformers.NewSharedInformerFactory(h.Inventory, 0).Apis().V1alpha1().PlacementDecisions()
	h.decisions = newDecisions(t.Context(), kube.Discovery(), informer, cache.ResourceEventHandlerFuncs{})
	selected := func() *selection {
		selected, err := h.selectClusters(t.Context(), set)
		require.NoError(t, err)
		for _, cluster := range []string{"bravelion", "smartfish"} {
			one, err := h.selectCluster(t.Context(), set, cluster)
			require.NoError(t, err)
			assert.Equal(t, selected.clusters[cluster], one, "alone: %s", cluster)
		}
		return selected
	}
	is := selected()
	assert.Empty(t, is.clusters)
	assert.Equal(t, v1alpha1.CredentialSetReasonDecisionsNotServed, is.reason)
	assert.Contains(t, is.refused, "the hub serves PlacementDecisions in no version of multicluster.x-k8s.io")
	for range 100 {
		selected()
	}
	assert.LessOrEqual(t, len(kube.Actions()), 20, "the hub is asked for two versions a second, not for each set and credential")

	granted := &v1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bravelion",
		Labels: map[string]string{v1alpha1.LabelCredentialSetUID: "set-1"}}}
	granted.Spec.ClusterProfile = v1alpha1.GrantedClusterProfile{Namespace: "fleet", Name: "bravelion"}
	require.NoError(t, h.grantsThere.Add(granted))
	assert.Equal(t, []string{"bravelion"}, slices.Sorted(maps.Keys(selected().clusters)), "what it has a grant for stays")

	kube.Resources = servedDecisions()
	require.Eventually(t, func() bool {
		is, err := h.selectClusters(t.Context(), set)
		return err == nil && is.refused == ""
	}, time.Minute, time.Millisecond, "without a restart")
}
