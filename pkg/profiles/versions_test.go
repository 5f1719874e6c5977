// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/apis/multicluster/v1alpha2"
)

// serving returns the Versions of a hub that serves ClusterProfiles in some versions.
func serving(versions ...schema.GroupVersion) *Versions {
	fake := &clienttesting.Fake{}
	for _, gv := range versions {
		fake.Resources = append(fake.Resources, &metav1.APIResourceList{
			GroupVersion: gv.String(), APIResources: []metav1.APIResource{{Name: ClusterProfiles + "/status"}, {Name: ClusterProfiles}},
		})
	}
	return NewVersions(&fakediscovery.FakeDiscovery{Fake: fake})
}

func TestVersions_Resource(t *testing.T) {
	earlier, later := inventoryv1alpha1.GroupVersion, v1alpha2.SchemeGroupVersion
	for name, test := range map[string]struct {
		served []schema.GroupVersion
		want   string
	}{
		"of both versions, v1alpha1 has all fields": {[]schema.GroupVersion{later, earlier}, "v1alpha1"},
		"v1alpha1 alone":                   {[]schema.GroupVersion{earlier}, "v1alpha1"},
		"v1alpha2 alone":                   {[]schema.GroupVersion{later}, "v1alpha2"},
		"neither":                          {nil, ""},
		"a version that is not known here": {[]schema.GroupVersion{{Group: later.Group, Version: "v1beta1"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := serving(test.served...).Resource(t.Context(), ClusterProfiles)
			assert.Equal(t, test.want == "", apimeta.IsNoMatchError(err), "%v", err)
			assert.Equal(t, test.want, got.Version)
		})
	}
	t.Run("each resource has its own", func(t *testing.T) {
		versions := NewVersions(&fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{Resources: []*metav1.APIResourceList{
			{GroupVersion: earlier.String(), APIResources: []metav1.APIResource{{Name: ClusterProfiles}}},
			{GroupVersion: later.String(), APIResources: []metav1.APIResource{{Name: PlacementDecisions}}},
		}}})
		for resource, want := range map[string]string{ClusterProfiles: "v1alpha1", PlacementDecisions: "v1alpha2"} {
			got, err := versions.Resource(t.Context(), resource)
			require.NoError(t, err)
			assert.Equal(t, want, got.Version, resource)
		}
	})
	t.Run("a version that lacks fields is not for good, if it is not the hub that is silent", func(t *testing.T) {
		fake := &clienttesting.Fake{}
		served := func(gv schema.GroupVersion) *metav1.APIResourceList {
			return &metav1.APIResourceList{GroupVersion: gv.String(), APIResources: []metav1.APIResource{{Name: ClusterProfiles}}}
		}
		fake.Resources = []*metav1.APIResourceList{served(later)}
		versions, now := NewVersions(&fakediscovery.FakeDiscovery{Fake: fake}), testingclock.NewFakePassiveClock(time.Now())
		versions.clock = now
		expect := func(want schema.GroupVersion) {
			t.Helper()
			got, err := versions.Resource(t.Context(), ClusterProfiles)
			require.NoError(t, err)
			assert.Equal(t, want, got.GroupVersion())
		}
		expect(later)
		fake.Resources = []*metav1.APIResourceList{served(later), served(earlier)}
		now.SetTime(now.Now().Add(lesserFor - time.Second))
		expect(later)
		silent := true
		fake.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			return silent, nil, apierrors.NewServiceUnavailable("later")
		})
		now.SetTime(now.Now().Add(time.Second))
		expect(later)
		silent = false
		expect(earlier)
		asked := len(fake.Actions())
		now.SetTime(now.Now().Add(24 * time.Hour))
		expect(earlier)
		assert.Len(t, fake.Actions(), asked, "the version with all fields is for good")
	})
	t.Run("a hub that does not answer", func(t *testing.T) {
		fake := &clienttesting.Fake{}
		fake.AddReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewServiceUnavailable("later")
		})
		_, err := NewVersions(&fakediscovery.FakeDiscovery{Fake: fake}).Resource(t.Context(), ClusterProfiles)
		assert.True(t, apierrors.IsServiceUnavailable(err), "it is not without ClusterProfiles: %v", err)
	})
	t.Run("a resource that the hub does not have, in a version that it serves", func(t *testing.T) {
		_, err := serving(earlier, later).Resource(t.Context(), PlacementDecisions)
		assert.True(t, apimeta.IsNoMatchError(err), "%v", err)
	})
}

// fakeHub serves ClusterProfiles and PlacementDecisions, named "one", in versions that change.
type fakeHub struct {
	mu     sync.Mutex
	served sets.Set[string]
	// requests are those for objects, bodies what was sent with the last of them.
	requests []string
	body     map[string]any
	// asked counts the calls of discovery.
	asked int
	// agent is who has sent the last request.
	agent string
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.agent = r.UserAgent()
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/multicluster.x-k8s.io/"), "/")
	gv := schema.GroupVersion{Group: "multicluster.x-k8s.io", Version: parts[0]}
	if len(parts) == 1 {
		h.asked++
	} else {
		h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case !h.served.Has(gv.Version):
		http.Error(w, "404 page not found", http.StatusNotFound)
		return
	case len(parts) == 1:
		encode(w, http.StatusOK, metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: gv.String(),
			APIResources: []metav1.APIResource{{Name: ClusterProfiles}, {Name: PlacementDecisions}},
		})
		return
	}
	h.body = nil
	_ = json.NewDecoder(r.Body).Decode(&h.body)
	one := map[string]any{"apiVersion": gv.String(), "kind": "ClusterProfile", "metadata": map[string]any{"name": "one", "namespace": "fleet"},
		"spec":   map[string]any{"clusterManager": map[string]any{"name": "a"}},
		"status": map[string]any{"accessProviders": []any{map[string]any{"name": "b", "cluster": map[string]any{"server": "https://c"}}}}}
	if parts[3] == PlacementDecisions {
		one = map[string]any{"apiVersion": gv.String(), "kind": "PlacementDecision", "metadata": one["metadata"],
			"decisions": []any{map[string]any{"clusterProfileRef": map[string]any{"name": "one"}, "reason": "d"}}}
	}
	switch {
	case r.URL.Query().Get("watch") != "":
		encode(w, http.StatusOK, map[string]any{"type": "ADDED", "object": one})
	case len(parts) == 4 && r.Method == http.MethodGet:
		encode(w, http.StatusOK, map[string]any{"apiVersion": gv.String(), "kind": one["kind"].(string) + "List",
			"metadata": map[string]any{"resourceVersion": "7"}, "items": []any{one}})
	case r.Method == http.MethodDelete:
		encode(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess})
	case len(parts) > 4 && parts[4] == "none":
		resource := schema.GroupResource{Group: gv.Group, Resource: parts[3]}
		status := apierrors.NewNotFound(resource, "none").ErrStatus
		status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		encode(w, http.StatusNotFound, status)
	default:
		encode(w, http.StatusOK, one)
	}
}

func encode(w http.ResponseWriter, status int, object any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(object)
}

func (h *fakeHub) serve(versions ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.served = sets.New(versions...)
}

// start returns upstream's clientset for the hub.
func (h *fakeHub) start(t *testing.T) inventory.Interface {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	config := &rest.Config{Host: server.URL}
	asking, err := discovery.NewDiscoveryClientForConfig(config)
	require.NoError(t, err)
	client, err := NewClientset(config, NewVersions(asking))
	require.NoError(t, err)
	return client
}

func TestNewClientset(t *testing.T) {
	for _, version := range []string{"v1alpha1", "v1alpha2"} {
		t.Run(version, func(t *testing.T) {
			h := &fakeHub{served: sets.New(version)}
			client := h.start(t).ApisV1alpha1()
			ctx, profiles, decisions := t.Context(), client.ClusterProfiles("fleet"), client.PlacementDecisions("fleet")
			path := "/apis/multicluster.x-k8s.io/" + version + "/namespaces/fleet/"

			profile, err := profiles.Get(ctx, "one", metav1.GetOptions{})
			require.NoError(t, err)
			assert.Equal(t, "a", profile.Spec.ClusterManager.Name)
			assert.Equal(t, rest.DefaultKubernetesUserAgent(), h.agent)
			assert.Equal(t, "https://c", profile.Status.AccessProviders[0].Cluster.Server)
			_, err = profiles.Get(ctx, "none", metav1.GetOptions{})
			assert.Equal(t, ClusterProfiles, err.(apierrors.APIStatus).Status().Details.Kind, "%v", err)
			patch := []byte(`{"metadata":{"labels":{"a":"b"}}}`)
			_, err = profiles.Patch(ctx, "one", types.MergePatchType, patch, metav1.PatchOptions{}, "status")
			require.NoError(t, err)
			assert.Equal(t, map[string]any{"metadata": map[string]any{"labels": map[string]any{"a": "b"}}}, h.body)

			list, err := decisions.List(ctx, metav1.ListOptions{LabelSelector: "a=b"})
			require.NoError(t, err)
			assert.Equal(t, "7", list.ResourceVersion)
			decision := &list.Items[0]
			assert.Equal(t, "d", decision.Decisions[0].Reason)
			_, err = decisions.Update(ctx, decision, metav1.UpdateOptions{})
			require.NoError(t, err)
			assert.Equal(t, "multicluster.x-k8s.io/"+version, h.body["apiVersion"])
			assert.Equal(t, "PlacementDecision", h.body["kind"])
			_, err = decisions.Create(ctx, decision, metav1.CreateOptions{})
			require.NoError(t, err)
			assert.Equal(t, "d", h.body["decisions"].([]any)[0].(map[string]any)["reason"])
			require.NoError(t, decisions.Delete(ctx, "one", *metav1.NewPreconditionDeleteOptions("e")))
			assert.Equal(t, map[string]any{"uid": "e"}, h.body["preconditions"])
			w, err := decisions.Watch(ctx, metav1.ListOptions{ResourceVersion: "7"})
			require.NoError(t, err)
			event := <-w.ResultChan()
			assert.Equal(t, watch.Added, event.Type)
			assert.IsType(t, &inventoryv1alpha1.PlacementDecision{}, event.Object)
			w.Stop()

			assert.Equal(t, []string{
				"GET " + path + "clusterprofiles/one", "GET " + path + "clusterprofiles/none", "PATCH " + path + "clusterprofiles/one/status",
				"GET " + path + "placementdecisions", "PUT " + path + "placementdecisions/one", "POST " + path + "placementdecisions",
				"DELETE " + path + "placementdecisions/one", "GET " + path + "placementdecisions",
			}, h.requests)
		})
	}
}

// The version is asked for once, and again when the hub does not serve it any more.
func TestVersions_Wrap(t *testing.T) {
	h := &fakeHub{served: sets.New("v1alpha1", "v1alpha2")}
	client := h.start(t).ApisV1alpha1()
	get := func(name string) error {
		_, err := client.ClusterProfiles("fleet").Get(t.Context(), name, metav1.GetOptions{})
		return err
	}
	for range 2 {
		require.NoError(t, get("one"))
		assert.True(t, apierrors.IsNotFound(get("none")))
	}
	assert.Equal(t, 1, h.asked, "an object that is missing says nothing about versions")

	h.serve("v1alpha2")
	err := get("one")
	assert.True(t, apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse), "%v", err)
	require.NoError(t, get("one"))
	assert.Equal(t, 3, h.asked)

	h.serve("v1beta1")
	for range 2 {
		err := get("one")
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		assert.True(t, apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse), "it may be taken for a missing object: %v", err)
	}
	h.serve("v1alpha1")
	require.NoError(t, get("one"))
}
