// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package decision

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// newSlices returns slices of one decision, each written as name, index and cluster: b=0:lion.
func newSlices(written ...string) (all []*inventoryv1alpha1.PlacementDecision) {
	for _, words := range written {
		name, words, _ := strings.Cut(words, "=")
		index, cluster, _ := strings.Cut(words, ":")
		slice := &inventoryv1alpha1.PlacementDecision{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name}}
		if index != "" {
			slice.Labels = map[string]string{inventoryv1alpha1.DecisionIndexLabel: index}
		}
		slice.Decisions = []inventoryv1alpha1.ClusterDecision{{ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Name: cluster}}}
		all = append(all, slice)
	}
	return all
}

func TestTied(t *testing.T) {
	for name, test := range map[string]struct {
		slices, clusters, tied []string
	}{
		"slices with an index each are in its order": {
			[]string{"a=10:fish", "b=9:lion"}, []string{"lion", "fish"}, nil,
		},
		"those of one index are in the order of their names, and no cluster is lost": {
			[]string{"c=0:whale", "a=1:fish", "b=0:lion"}, []string{"lion", "whale", "fish"}, []string{"b", "c"},
		},
		"a cluster of two slices of one index is there once": {
			[]string{"b=0:lion", "a=0:lion"}, []string{"lion"}, []string{"a", "b"},
		},
		"those without an index, and those whose index is no number, come last and share none": {
			[]string{"c=:whale", "b=x:lion", "d=:crab", "a=3:fish"}, []string{"fish", "lion", "whale", "crab"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			all := newSlices(test.slices...)
			var clusters []string
			for _, cluster := range AllClusters(all) {
				clusters = append(clusters, cluster.Name)
			}
			assert.Equal(t, test.clusters, clusters)
			assert.Equal(t, test.tied, Tied(all))
		})
	}
}

func TestWarnTied(t *testing.T) {
	assert.Empty(t, WarnTied(newSlices("a=0:lion", "b=1:fish")))
	const words = "PlacementDecisions that share their decision-index are ordered by name: "
	assert.Equal(t, words+"a, b", WarnTied(newSlices("b=0:lion", "a=0:fish", "c=1:whale")))
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprintf("%s%04d=0:lion", strings.Repeat("n", 200), i))
	}
	assert.Less(t, len(WarnTied(newSlices(many...))), 1200)
}

func TestOwnerOf(t *testing.T) {
	for name, test := range map[string]struct {
		apiVersion, kind string
		want             bool
	}{
		"a Placement of clusterpass":              {"clusterpass.dev/v1alpha1", "Placement", true},
		"a Placement of Open Cluster Management":  {"cluster.open-cluster-management.io/v1beta1", "Placement", false},
		"a PlacementDecision of that":             {"cluster.open-cluster-management.io/v1beta1", "PlacementDecision", false},
		"another kind of clusterpass":             {"clusterpass.dev/v1alpha1", "ClusterCredentialSet", false},
		"nobody, if there is no owner reference":  {},
		"nobody, if the kind is that of no group": {"", "Placement", false},
	} {
		t.Run(name, func(t *testing.T) {
			slice := newSlices("a=0:lion")[0]
			if test.kind != "" {
				kind := schema.FromAPIVersionAndKind(test.apiVersion, test.kind)
				slice.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(&metav1.ObjectMeta{Name: "gpu", UID: "1"}, kind)}
			}
			assert.Equal(t, test.want, OwnerOf(slice) != nil)
		})
	}
}

func TestServed(t *testing.T) {
	list := func(version string, resources ...string) *metav1.APIResourceList {
		served := &metav1.APIResourceList{GroupVersion: version}
		for _, name := range resources {
			served.APIResources = append(served.APIResources, metav1.APIResource{Name: name})
		}
		return served
	}
	for name, test := range map[string]struct {
		served *metav1.APIResourceList
		want   error
	}{
		"both":                       {list("multicluster.x-k8s.io/v1alpha1", "clusterprofiles", "placementdecisions"), nil},
		"ClusterProfiles alone":      {list("multicluster.x-k8s.io/v1alpha1", "clusterprofiles"), ErrNotServed},
		"the later version alone":    {list("multicluster.x-k8s.io/v1alpha2", "placementdecisions"), nil},
		"another version":            {list("multicluster.x-k8s.io/v1beta1", "placementdecisions"), ErrNotServed},
		"another group":              {list("example.com/v1alpha1", "placementdecisions"), ErrNotServed},
		"a subresource of that name": {list("multicluster.x-k8s.io/v1alpha1", "placementdecisions/status"), ErrNotServed},
	} {
		t.Run(name, func(t *testing.T) {
			hub := fake.NewClientset()
			hub.Resources = []*metav1.APIResourceList{test.served}
			require.ErrorIs(t, Served(t.Context(), hub.Discovery()), test.want)
		})
	}
	t.Run("a hub that does not answer", func(t *testing.T) {
		hub := fake.NewClientset()
		hub.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewGenericServerResponse(http.StatusServiceUnavailable, "get", schema.GroupResource{}, "", "", 0, true)
		})
		err := Served(t.Context(), hub.Discovery())
		require.Error(t, err)
		require.NotErrorIs(t, err, ErrNotServed)
		assert.Contains(t, err.Error(), "asking the hub which version of placementdecisions it serves")
	})
}
