// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/test/testenv"
)

// Upstream's clientset for ClusterProfiles is what all tests of the inventory use. This is the rest
// of it.
func TestClients_PlacementDecisions(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	client := decisionsIn(t, namespace)
	decision := newDecision("slice", "whale")
	decision.SchedulerName = "first"
	decision = testenv.Create(t, client, decision)
	w := testenv.Must[watch.Interface](t)(client.Watch(ctx, metav1.ListOptions{ResourceVersion: decision.ResourceVersion}))
	defer w.Stop()

	decision.Decisions = append(decision.Decisions, newDecision("", "shark").Decisions...)
	decision = testenv.Update(t, client, decision)
	assert.EqualValues(t, 2, decision.Generation)
	decision = testenv.Patch(t, client, "slice", `{"schedulerName":"second"}`)
	assert.Equal(t, "second", decision.SchedulerName)
	assert.Len(t, decision.Decisions, 2)
	found := testenv.List(t, client, metav1.ListOptions{})
	assert.Len(t, found.Items, 1)
	assert.NotEmpty(t, found.ResourceVersion)
	require.NoError(t, client.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
	for _, want := range []watch.EventType{watch.Modified, watch.Modified, watch.Deleted} {
		assert.Equal(t, want, nextEvent(t, w).Type)
	}
}

// Upstream's informers and listers follow.
func TestClients_Informers(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	namespace := newNamespace(t)
	createProfile(t, namespace, testenv.NewProfile("before", "informer"))
	factory := inventoryinformers.NewSharedInformerFactoryWithOptions(
		shared.Hub.Inventory(t), 0, inventoryinformers.WithNamespace(namespace))
	profiles := factory.Apis().V1alpha1().ClusterProfiles()
	events := make(chan string, 10)
	nameOf := func(obj any) string { return obj.(*inventoryv1alpha1.ClusterProfile).Name }
	testenv.Must[cache.ResourceEventHandlerRegistration](t)(profiles.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { events <- "add " + nameOf(obj) },
		UpdateFunc: func(_, obj any) {
			events <- "update " + nameOf(obj) + " " + obj.(*inventoryv1alpha1.ClusterProfile).Spec.DisplayName
		},
		DeleteFunc: func(obj any) { events <- "delete " + nameOf(obj) },
	}))
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	factory.WaitForCacheSync(ctx.Done())
	expect := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
		defer cancel()
		select {
		case got := <-events:
			assert.Equal(t, want, got)
		case <-ctx.Done():
			require.Fail(t, "no event in time", want)
		}
	}

	expect("add before")
	after := createProfile(t, namespace, testenv.NewProfile("after", "informer"))
	expect("add after")
	after.Spec.DisplayName = "changed"
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(profilesIn(t, namespace).Update(ctx, after, metav1.UpdateOptions{}))
	expect("update after changed")
	found := testenv.Must[[]*inventoryv1alpha1.ClusterProfile](t)(profiles.Lister().ClusterProfiles(namespace).List(labels.Everything()))
	assert.Len(t, found, 2)
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "after", metav1.DeleteOptions{}))
	expect("delete after")
}

// A client that prefers protobuf gets JSON.
func TestClients_Protobuf(t *testing.T) {
	namespace := newNamespace(t)
	config := shared.Hub.RESTConfig()
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	client := testenv.Inventory(t, config).ApisV1alpha1().ClusterProfiles(namespace)
	testenv.Create(t, client, testenv.NewProfile("whale", "protobuf"))
	assert.Len(t, testenv.List(t, client, metav1.ListOptions{}).Items, 1)

	path := "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/" + namespace + "/clusterprofiles"
	tests := map[string]struct {
		accept      string
		status      int
		contentType string
	}{
		"protobuf, then JSON": {config.AcceptContentTypes, http.StatusOK, runtime.ContentTypeJSON},
		"YAML":                {runtime.ContentTypeYAML, http.StatusOK, runtime.ContentTypeYAML},
		"protobuf alone":      {runtime.ContentTypeProtobuf, http.StatusNotAcceptable, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			status, contentType, body := get(t, path, test.accept)
			assert.Equal(t, test.status, status, string(body))
			assert.True(t, strings.HasPrefix(contentType, test.contentType), contentType)
		})
	}
	t.Run("a body in protobuf is refused", func(t *testing.T) {
		header := http.Header{"Content-Type": []string{runtime.ContentTypeProtobuf}}
		status, _, body := send(t, http.MethodPost, path, header, []byte("k8s\x00"))
		assert.Equal(t, http.StatusUnsupportedMediaType, status, string(body))
	})
}

func TestClients_Metadata(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	profile := testenv.NewProfile("whale", "metadata")
	profile.Labels = map[string]string{"a": "b"}
	profile = createProfile(t, namespace, profile)
	client := testenv.Must[metadata.Interface](t)(metadata.NewForConfig(shared.Hub.RESTConfig()))
	for resource, want := range map[string][]string{profilesResource.Resource: {"whale"}, decisionsResource.Resource: {}} {
		found := testenv.Must[*metav1.PartialObjectMetadataList](t)(
			client.Resource(inventoryv1alpha1.GroupVersion.WithResource(resource)).Namespace(namespace).List(ctx, metav1.ListOptions{}))
		assert.Equal(t, want, names(t, found), resource)
	}
	profiles := client.Resource(profilesResource).Namespace(namespace)
	got := testenv.Must[*metav1.PartialObjectMetadata](t)(profiles.Get(ctx, "whale", metav1.GetOptions{}))
	assert.Empty(t, cmp.Diff(profile.ObjectMeta, got.ObjectMeta), "-want +got")
	w := testenv.Must[watch.Interface](t)(profiles.Watch(ctx, metav1.ListOptions{ResourceVersion: profile.ResourceVersion}))
	defer w.Stop()
	require.NoError(t, profiles.Delete(ctx, "whale", metav1.DeleteOptions{}))
	assert.Equal(t, watch.Deleted, nextEvent(t, w).Type)
}
