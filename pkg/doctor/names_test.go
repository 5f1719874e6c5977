// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
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
	type lists = []*metav1.APIResourceList
	for name, test := range map[string]struct {
		discovered lists // in the order of the hub
		want       verdict
	}{
		"names of our own": {lists{profiles, placements}, passes("no other group")},
		"one name in both our groups": {
			lists{group("multicluster.x-k8s.io/v1alpha1", "authtokenrequests", "authtokenrequest", "AuthTokenRequest", "atr"), requests},
			passes("no other group"),
		},
		"ours come first": {lists{profiles, placements, ocm}, passes("it shows clusterpass's placements.clusterpass.dev; " +
			"only the full name shows placements.cluster.open-cluster-management.io")},
		"another's come first": {lists{ocm, profiles, placements},
			warns("it shows placements.cluster.open-cluster-management.io, which is not clusterpass's",
				"kubectl get placements.clusterpass.dev")},
		"another's short name comes first": {lists{group("example.com/v1", "checkpoints", "checkpoint", "Checkpoint", "cp"), profiles},
			warns("it shows checkpoints.example.com", "kubectl get clusterprofiles.multicluster.x-k8s.io")},
		"a plural beats a short name of ours": {lists{profiles, group("example.com/v1", "cp", "cp", "Copy")},
			warns("it shows cp.example.com", "kubectl get clusterprofiles.multicluster.x-k8s.io")},
		"the server's kinds are not discovered": {lists{ocm}, skips("see apiservices")},
	} {
		t.Run(name, func(t *testing.T) {
			test.want.expect(t, examine(t, checkNames, newExamination(&Clients{Kubernetes: discovering(t, test.discovered)})))
		})
	}
}

// discovering returns a client of a hub that has these resources, in this order. client-go's fake
// shuffles the groups.
func discovering(t *testing.T, lists []*metav1.APIResourceList) kubernetes.Interface {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(path string, content any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			assert.NoError(t, json.NewEncoder(w).Encode(content))
		})
	}
	var groups metav1.APIGroupList
	for _, list := range lists {
		group, version, _ := strings.Cut(list.GroupVersion, "/")
		offered := metav1.GroupVersionForDiscovery{GroupVersion: list.GroupVersion, Version: version}
		groups.Groups = append(groups.Groups, metav1.APIGroup{
			Name: group, Versions: []metav1.GroupVersionForDiscovery{offered}, PreferredVersion: offered,
		})
		serve("/apis/"+list.GroupVersion, list)
	}
	serve("/apis", groups)
	serve("/api", metav1.APIVersions{})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	client, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	return client
}
