// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func TestNames(t *testing.T) {
	group := func(groupVersion, plural, singular, kind string, shortNames ...string) *metav1.APIResourceList {
		return &metav1.APIResourceList{GroupVersion: groupVersion, APIResources: []metav1.APIResource{
			{Name: plural, SingularName: singular, Kind: kind, ShortNames: shortNames, Namespaced: true},
			{Name: plural + "/status", Kind: kind, Namespaced: true},
		}}
	}
	profiles := group("multicluster.x-k8s.io/v1alpha1", "clusterprofiles", "clusterprofile", "ClusterProfile", "cp")
	placements := group("clusterpass.dev/v1alpha1", "placements", "placement", "Placement", "pl")
	ocm := group("cluster.open-cluster-management.io/v1beta1", "placements", "placement", "Placement")
	requests := group("clusterpass.dev/v1alpha1", "authtokenrequests", "authtokenrequest", "AuthTokenRequest", "atr")
	tests := map[string]struct {
		discovered []*metav1.APIResourceList // in the order of the hub
		want       verdict
	}{
		"names of our own":                      {[]*metav1.APIResourceList{profiles, placements}, verdict{verdict: OK, message: "no other group"}},
		"one name in both our groups":           {[]*metav1.APIResourceList{group("multicluster.x-k8s.io/v1alpha1", "authtokenrequests", "authtokenrequest", "AuthTokenRequest", "atr"), requests}, verdict{verdict: OK, message: "no other group"}},
		"ours come first":                       {[]*metav1.APIResourceList{profiles, placements, ocm}, verdict{verdict: OK, message: "it shows clusterpass's placements.clusterpass.dev; by full name alone: placements.cluster.open-cluster-management.io"}},
		"another's come first":                  {[]*metav1.APIResourceList{ocm, profiles, placements}, verdict{Warn, "it shows placements.cluster.open-cluster-management.io, which is not clusterpass's", "kubectl get placements.clusterpass.dev"}},
		"another's short name comes first":      {[]*metav1.APIResourceList{group("example.com/v1", "checkpoints", "checkpoint", "Checkpoint", "cp"), profiles}, verdict{Warn, "it shows checkpoints.example.com", "kubectl get clusterprofiles.multicluster.x-k8s.io"}},
		"a plural beats a short name of ours":   {[]*metav1.APIResourceList{profiles, group("example.com/v1", "cp", "cp", "Copy")}, verdict{Warn, "it shows cp.example.com", "kubectl get clusterprofiles.multicluster.x-k8s.io"}},
		"the server's kinds are not discovered": {[]*metav1.APIResourceList{ocm}, verdict{verdict: Skip, message: "see apiservices"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			client.Resources = test.discovered
			test.want.expect(t, checkNames(t.Context(), newExamination(&Clients{Kubernetes: client})))
		})
	}
}
