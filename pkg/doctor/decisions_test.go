// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryfake "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	clusterpassfake "clusterpass.dev/pkg/generated/clientset/versioned/fake"
	"clusterpass.dev/pkg/hub"
)

func newSlice(namespace, key, name, index string) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{ObjectMeta: named(namespace, name)}
	slice.Labels = map[string]string{inventoryv1alpha1.DecisionKeyLabel: key, inventoryv1alpha1.DecisionIndexLabel: index}
	return slice
}

// examineDecisions returns what the check finds on a hub that serves PlacementDecisions or not.
func examineDecisions(t *testing.T, served bool, mode string, slices, ours objects) findings {
	t.Helper()
	hub := fake.NewClientset()
	if served {
		hub.Resources = []*metav1.APIResourceList{{
			GroupVersion: inventoryv1alpha1.GroupVersion.String(), APIResources: []metav1.APIResource{{Name: "placementdecisions"}},
		}}
	}
	e := newExamination(&Clients{
		Kubernetes: hub, Profiles: inventoryfake.NewSimpleClientset(slices...), Clusterpass: clusterpassfake.NewClientset(ours...),
	})
	e.Inventory = mode
	return examine(t, checkDecisions, e)
}

func TestCheckDecisions(t *testing.T) {
	placement := &clusterpassv1alpha1.Placement{ObjectMeta: named("team", "gpu")}
	byDecision := newSet("gpu", "kim", time.Hour, func(set *credentialSet) { set.Spec.Clusters.DecisionKey = "gpu" })
	const install = "multicluster.x-k8s.io_placementdecisions.yaml"
	for name, test := range map[string]struct {
		served       bool
		mode         string
		slices, ours objects
		want         verdict
	}{
		"slices of one decision with an index each": {
			true, hub.InventoryServed, objects{newSlice("team", "gpu", "a", "0"), newSlice("team", "gpu", "b", "1")}, nil,
			passes("the hub serves PlacementDecisions"),
		},
		"slices of two decisions, and of two namespaces, with the same index": {
			true, hub.InventoryServed,
			objects{newSlice("team", "gpu", "a", "0"), newSlice("team", "cpu", "b", "0"), newSlice("other", "gpu", "a", "0")}, nil,
			passes("the hub serves PlacementDecisions"),
		},
		"slices of no decision": {
			true, hub.InventoryServed, objects{newSlice("team", "", "a", "0"), newSlice("team", "", "b", "0")}, nil,
			passes("the hub serves PlacementDecisions"),
		},
		"slices of one decision with the same index": {
			true, hub.InventoryExternal, objects{newSlice("team", "gpu", "a", "0"), newSlice("team", "gpu", "b", "0")}, nil,
			warns("ordered by name: a, b", "an index of its own"),
		},
		"no CRD, and nothing needs it":   {false, hub.InventoryExternal, nil, nil, passes("nothing needs it")},
		"no CRD, and a Placement":        {false, hub.InventoryExternal, nil, objects{placement}, fails("wait for it", install)},
		"no CRD, and a set by decisions": {false, hub.InventoryExternal, nil, objects{byDecision}, fails("wait for it", install)},
		"no CRD, and a set by other means": {false, hub.InventoryExternal, nil, objects{newSet("a", "kim", time.Hour)},
			passes("nothing needs it")},
		"clusterpass is to serve them and does not": {false, hub.InventoryServed, nil, nil, fails("does not serve them", "apiservices")},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examineDecisions(t, test.served, test.mode, test.slices, test.ours))
		})
	}
	t.Run("not all of many are listed", func(t *testing.T) {
		var many objects
		for i := range maxTied + 3 {
			key := fmt.Sprintf("key-%02d", i)
			many = append(many, newSlice("team", key, key+"-a", "0"), newSlice("team", key, key+"-b", "0"))
		}
		found := examineDecisions(t, true, hub.InventoryServed, many, nil)
		require.Len(t, found, maxTied+1)
		assert.Contains(t, found[maxTied].Message, "3 more decisions")
	})
}
