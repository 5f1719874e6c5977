// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

var (
	profilesResource  = inventoryv1alpha1.GroupVersion.WithResource("clusterprofiles")
	decisionsResource = inventoryv1alpha1.GroupVersion.WithResource("placementdecisions")
)

// newNamespace makes a namespace of the hub for one test. Nobody deletes it: that would go on in
// the background of the next test.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "inventory-"}}
	return testenv.Create(t, shared.Hub.Kube(t).CoreV1().Namespaces(), namespace).Name
}

// profilesIn returns upstream's client for the ClusterProfiles in a namespace of the hub.
func profilesIn(t *testing.T, namespace string) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
}

// decisionsIn returns upstream's client for the PlacementDecisions in a namespace of the hub.
func decisionsIn(t *testing.T, namespace string) inventoryclient.PlacementDecisionInterface {
	t.Helper()
	return shared.Hub.Inventory(t).ApisV1alpha1().PlacementDecisions(namespace)
}

func newDecision(name string, clusters ...string) *inventoryv1alpha1.PlacementDecision {
	decision := &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Decisions:  []inventoryv1alpha1.ClusterDecision{},
	}
	for _, cluster := range clusters {
		ref := inventoryv1alpha1.ClusterProfileReference{Name: cluster}
		decision.Decisions = append(decision.Decisions, inventoryv1alpha1.ClusterDecision{ClusterProfileRef: ref})
	}
	return decision
}

func createProfile(t *testing.T, namespace string, profile *inventoryv1alpha1.ClusterProfile) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Create(t, profilesIn(t, namespace), profile)
}

func getProfile(t *testing.T, namespace, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Get(t, profilesIn(t, namespace), name)
}

// names returns the names of the objects in a list, in its order.
func names(t *testing.T, list runtime.Object) []string {
	t.Helper()
	found := []string{}
	require.NoError(t, meta.EachListItem(list, func(obj runtime.Object) error {
		accessor, err := meta.Accessor(obj)
		if err == nil {
			found = append(found, accessor.GetName())
		}
		return err
	}))
	return found
}

// condition returns a condition that passes validation.
func condition(kind string, status metav1.ConditionStatus) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: "Tested", LastTransitionTime: metav1.NewTime(time.Unix(1e9, 0).UTC())}
}

// nextEvent returns the next event of w, and ends the test if there is none in time.
func nextEvent(t *testing.T, w watch.Interface) watch.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	select {
	case event, open := <-w.ResultChan():
		require.True(t, open, "the watch ended")
		return event
	case <-ctx.Done():
		require.Fail(t, "no event in time")
	}
	return watch.Event{}
}

// get asks the hub for path with the Accept header given, and returns the answer whatever its
// status.
func get(t *testing.T, path, accept string) (status int, contentType string, body []byte) {
	t.Helper()
	return send(t, http.MethodGet, path, http.Header{"Accept": []string{accept}}, nil)
}

// send makes a request to the hub as its admin and returns the answer whatever its status.
func send(t *testing.T, method, path string, header http.Header, body []byte) (status int, contentType string, answer []byte) {
	t.Helper()
	return sendAs(t, shared.Hub.RESTConfig(), method, path, header, body)
}

// sendAs is send as the user of config.
func sendAs(
	t *testing.T, config *rest.Config, method, path string, header http.Header, body []byte,
) (status int, contentType string, answer []byte) {
	t.Helper()
	client := testenv.Must[*http.Client](t)(rest.HTTPClientFor(config))
	request := testenv.Must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, config.Host+path, bytes.NewReader(body)))
	request.Header = header
	response := testenv.Must[*http.Response](t)(client.Do(request))
	defer response.Body.Close()
	answer = testenv.Must[[]byte](t)(io.ReadAll(response.Body))
	return response.StatusCode, response.Header.Get("Content-Type"), answer
}

// getJSON asks the hub for path and decodes the answer, which must be 200, into into.
func getJSON(t *testing.T, path, accept string, into any) {
	t.Helper()
	status, _, body := get(t, path, accept)
	require.Equal(t, http.StatusOK, status, "GET %s: %s", path, body)
	require.NoError(t, json.Unmarshal(body, into), path)
}
