// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

// merging has a hub show all namespaces in the list, or watch, of one.
func merging(client *fake.FakeDynamicClient) {
	client.PrependReactor("list", clusterProfiles, func(clienttesting.Action) (bool, runtime.Object, error) {
		list, err := client.Tracker().List(groupVersion.WithResource(clusterProfiles), groupVersion.WithKind("ClusterProfile"), "")
		return true, list, err
	})
	client.PrependWatchReactor(clusterProfiles, func(action clienttesting.Action) (bool, watch.Interface, error) {
		options := action.(clienttesting.WatchActionImpl).ListOptions
		watching, err := client.Tracker().Watch(groupVersion.WithResource(clusterProfiles), "", options)
		return true, watching, err
	})
}

func TestListAndWatch(t *testing.T) {
	quick(t)
	two := []*unstructured.Unstructured{newProfile("a"), newProfile("a", in("other"))}
	t.Run("two namespaces are kept apart", func(t *testing.T) {
		h, _ := fakeHub(two...)
		expect(t, h, "list-namespace", passed, "1 profiles, and 1 in 1 other namespaces")
		expect(t, h, "watch-namespace", passed, "1 profiles")
	})
	t.Run("two namespaces are merged", func(t *testing.T) {
		h, client := fakeHub(two...)
		merging(client)
		expect(t, h, "list-namespace", notConformant, `the list of "fleet" has "other/a"`)
		expect(t, h, "watch-namespace", notConformant, `the watch of "fleet" tells of "other/a"`)
	})
	t.Run("one namespace can't be merged", func(t *testing.T) {
		h, _ := fakeHub(newProfile("a"))
		expect(t, h, "list-namespace", skippedSpec, "no namespace but")
	})
	t.Run("other namespaces are not for the suite to see", func(t *testing.T) {
		h, client := fakeHub(two...)
		client.PrependReactor("list", clusterProfiles, func(action clienttesting.Action) (bool, runtime.Object, error) {
			return action.GetNamespace() == "", nil, apierrors.NewForbidden(schema.GroupResource{}, "", nil)
		})
		expect(t, h, "list-namespace", skippedSpec, "may not list")
	})
	t.Run("a watch begins with nothing", func(t *testing.T) {
		h, client := fakeHub(two...)
		client.PrependWatchReactor(clusterProfiles, func(clienttesting.Action) (bool, watch.Interface, error) {
			return true, watch.NewFake(), nil
		})
		expect(t, h, "watch-namespace", notConformant, `does not tell of "fleet/a"`)
	})
	t.Run("a watch ends at once", func(t *testing.T) {
		h, client := fakeHub(two...)
		client.PrependWatchReactor(clusterProfiles, func(clienttesting.Action) (bool, watch.Interface, error) {
			return true, watch.NewEmptyWatch(), nil
		})
		expect(t, h, "watch-namespace", notConformant, "ends before")
	})
}

func TestCompareLists(t *testing.T) {
	own := profile{ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "a", UID: "1"}}
	second := profile{ObjectMeta: metav1.ObjectMeta{Namespace: "fleet", Name: "b", UID: "2"}}
	for name, test := range map[string]struct {
		own, all []profile
		want     string
	}{
		"both have the same":              {own: []profile{own, second}, all: []profile{second, own}},
		"the list of all lacks one":       {own: []profile{own, second}, all: []profile{own}, want: `the list of all namespaces lacks "fleet/b"`},
		"the list of a namespace lacks 1": {own: []profile{own}, all: []profile{own, second}, want: `the list of "fleet" lacks 1 profiles`},
	} {
		t.Run(name, func(t *testing.T) {
			if found, _ := compareLists("fleet", test.own, test.all); these(found) != test.want {
				t.Errorf("got %s, want %s", these(found), test.want)
			}
		})
	}
}

func TestWatchChange(t *testing.T) {
	quick(t)
	change := func(t *testing.T, client *fake.FakeDynamicClient, name, patch string) {
		t.Helper()
		profiles := client.Resource(groupVersion.WithResource(clusterProfiles)).Namespace("fleet")
		if _, err := profiles.Patch(t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	start := func(t *testing.T, h *hub) {
		t.Helper()
		h.profiles.namespace, h.WatchFor = h.Namespace, 200*time.Millisecond
		h.deadline = time.Now().Add(h.WatchFor)
		h.profiles.recorder.start(t.Context(), h, clusterProfiles, h.Namespace, h.profiles.note)
	}
	t.Run("a change comes", func(t *testing.T) {
		h, client := fakeHub(newProfile("a"))
		start(t, h)
		change(t, client, "a", `{"metadata":{"labels":{"color":"red"}}}`)
		expect(t, h, "watch-change", passed, "1 events")
		expect(t, h, "member-id-kept", passed, "1 profiles with an id")
	})
	t.Run("nothing changes", func(t *testing.T) {
		h, _ := fakeHub(newProfile("a"))
		start(t, h)
		expect(t, h, "watch-change", skippedSpec, "--change-inventory")
	})
	t.Run("a command changes something, and nothing comes", func(t *testing.T) {
		h, _ := fakeHub(newProfile("a"))
		h.ChangeInventory = "true"
		start(t, h)
		expect(t, h, "watch-change", notConformant, "after --change-inventory")
	})
	t.Run("a command fails", func(t *testing.T) {
		h, _ := fakeHub(newProfile("a"))
		h.ChangeInventory = "exit 3"
		start(t, h)
		expect(t, h, "watch-change", unknown, "--change-inventory: exit status 3")
	})
	t.Run("a change of another namespace comes", func(t *testing.T) {
		h, client := fakeHub(newProfile("a"), newProfile("a", in("other")))
		merging(client)
		start(t, h)
		change(t, client, "a", `{"metadata":{"labels":{"color":"red"}}}`)
		expect(t, h, "watch-change", notConformant, `the watch of "fleet" tells of "other/a"`)
	})
	t.Run("an id changes", func(t *testing.T) {
		h, client := fakeHub(newProfile("a"))
		start(t, h)
		change(t, client, "a", `{"metadata":{"labels":{"`+labelMemberID+`":"another"}}}`)
		expect(t, h, "member-id-kept", notConformant, `"fleet/a" had "id-of-a", and then "another"`)
	})
	t.Run("nobody watches", func(t *testing.T) {
		h, _ := fakeHub(newProfile("a"))
		expect(t, h, "member-id-kept", skippedSpec, "--watch-for")
	})
	t.Run("the watch is refused", func(t *testing.T) {
		h, client := fakeHub(newProfile("a"))
		client.PrependWatchReactor(clusterProfiles, func(clienttesting.Action) (bool, watch.Interface, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{}, "", nil)
		})
		start(t, h)
		expect(t, h, "watch-change", unknown, "forbidden")
	})
	t.Run("the watch ends with an error", func(t *testing.T) {
		h, client := fakeHub(newProfile("a"))
		broken := watch.NewFakeWithOptions(watch.FakeOptions{ChannelSize: 1})
		broken.Error(&metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Message: "too old"})
		client.PrependWatchReactor(clusterProfiles, func(clienttesting.Action) (bool, watch.Interface, error) { return true, broken, nil })
		start(t, h)
		expect(t, h, "member-id-kept", unknown, "too old")
	})
}
