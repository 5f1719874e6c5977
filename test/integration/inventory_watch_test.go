// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// watchProfiles watches the ClusterProfiles of a namespace until the test ends.
func watchProfiles(t *testing.T, namespace string, options metav1.ListOptions) watch.Interface {
	t.Helper()
	w := testenv.Must[watch.Interface](t)(profilesIn(t, namespace).Watch(t.Context(), options))
	t.Cleanup(w.Stop)
	return w
}

// expectEvent returns the object of the next event, which must be of that type and about the object
// of that name.
func expectEvent(t *testing.T, w watch.Interface, kind watch.EventType, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	event := nextEvent(t, w)
	profile, ok := event.Object.(*inventoryv1alpha1.ClusterProfile)
	require.Equal(t, kind, event.Type, "%v", event.Object)
	require.True(t, ok, "%v", event.Object)
	require.Equal(t, name, profile.Name)
	return profile
}

func list(t *testing.T, namespace string, options metav1.ListOptions) *inventoryv1alpha1.ClusterProfileList {
	t.Helper()
	return testenv.List(t, profilesIn(t, namespace), options)
}

// A watch goes on from a resourceVersion.
func TestWatch_ResourceVersion(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	w := watchProfiles(t, namespace, metav1.ListOptions{ResourceVersion: list(t, namespace, metav1.ListOptions{}).ResourceVersion})
	first := createProfile(t, namespace, testenv.NewProfile("first", "watch"))
	createProfile(t, namespace, testenv.NewProfile("second", "watch"))
	first.Spec.DisplayName = "changed"
	_, err := profilesIn(t, namespace).Update(ctx, first, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "second", metav1.DeleteOptions{}))

	resume := expectEvent(t, w, watch.Added, "first").ResourceVersion
	for _, watching := range []watch.Interface{w, watchProfiles(t, namespace, metav1.ListOptions{ResourceVersion: resume})} {
		expectEvent(t, watching, watch.Added, "second")
		changed := expectEvent(t, watching, watch.Modified, "first")
		assert.Equal(t, "changed", changed.Spec.DisplayName)
		expectEvent(t, watching, watch.Deleted, "second")
	}
}

// A watch sends bookmarks when asked.
func TestWatch_Bookmarks(t *testing.T) {
	namespace, elsewhere := newNamespace(t), newNamespace(t)
	from := createProfile(t, namespace, testenv.NewProfile("marked", "watch")).ResourceVersion
	// A bookmark comes two seconds before the watch ends.
	w := watchProfiles(t, namespace, metav1.ListOptions{
		ResourceVersion: from, AllowWatchBookmarks: true, TimeoutSeconds: ptr.To[int64](4),
	})
	latest := createProfile(t, elsewhere, testenv.NewProfile("unwatched", "watch")).ResourceVersion
	event := nextEvent(t, w)
	bookmark, ok := event.Object.(*inventoryv1alpha1.ClusterProfile)
	require.Equal(t, watch.Bookmark, event.Type, "%v", event.Object)
	require.True(t, ok, "%v", event.Object)
	assert.GreaterOrEqual(t, testenv.Must[int](t)(resourceversion.CompareResourceVersion(bookmark.ResourceVersion, latest)), 0,
		"the bookmark is of %s, although %s is the latest", bookmark.ResourceVersion, latest)
	assert.Empty(t, bookmark.Name)
	assert.Empty(t, bookmark.Spec.ClusterManager.Name)
}

// A watch list ends in its bookmark.
func TestWatch_List(t *testing.T) {
	namespace := newNamespace(t)
	for _, name := range []string{"a", "b", "c"} {
		createProfile(t, namespace, testenv.NewProfile(name, "watchlist"))
	}
	w := watchProfiles(t, namespace, metav1.ListOptions{
		SendInitialEvents:    ptr.To(true),
		AllowWatchBookmarks:  true,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	for _, name := range []string{"a", "b", "c"} {
		expectEvent(t, w, watch.Added, name)
	}
	event := nextEvent(t, w)
	accessor := testenv.Must[metav1.Object](t)(meta.Accessor(event.Object))
	require.Equal(t, watch.Bookmark, event.Type, "%v", event.Object)
	require.Equal(t, "true", accessor.GetAnnotations()[metav1.InitialEventsAnnotationKey], "%v", event.Object)
	createProfile(t, namespace, testenv.NewProfile("d", "watchlist"))
	expectEvent(t, w, watch.Added, "d")
}

// A watch of a selection sees objects come and go.
func TestWatch_Selection(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	from := list(t, namespace, metav1.ListOptions{}).ResourceVersion
	selections := map[string]metav1.ListOptions{
		"by label":   {LabelSelector: "tier=prod"},
		"by name":    {FieldSelector: "metadata.name=chosen"},
		"by manager": {FieldSelector: "spec.clusterManager.name=mine"},
	}
	chosen := testenv.NewProfile("chosen", "mine")
	chosen.Labels = map[string]string{"tier": "prod"}
	createProfile(t, namespace, testenv.NewProfile("other", "theirs"))
	chosen = createProfile(t, namespace, chosen)
	chosen.Labels["tier"] = "test"
	_, err := profilesIn(t, namespace).Update(ctx, chosen, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.NoError(t, profilesIn(t, namespace).Delete(ctx, "chosen", metav1.DeleteOptions{}))
	want := map[string][]watch.EventType{
		"by label":   {watch.Added, watch.Deleted},
		"by name":    {watch.Added, watch.Modified, watch.Deleted},
		"by manager": {watch.Added, watch.Modified, watch.Deleted},
	}
	for name, options := range selections {
		t.Run(name, func(t *testing.T) {
			options.ResourceVersion = from
			w := watchProfiles(t, namespace, options)
			for _, kind := range want[name] {
				expectEvent(t, w, kind, "chosen")
			}
		})
	}
}

func TestWatch_Selectors(t *testing.T) {
	namespace, elsewhere := newNamespace(t), newNamespace(t)
	for name, manager := range map[string]string{"alpha": "one", "beta": "two", "gamma": "one"} {
		profile := testenv.NewProfile(name, manager)
		profile.Labels = map[string]string{inventoryv1alpha1.LabelClusterManagerKey: manager, "letter": name}
		createProfile(t, namespace, profile)
	}
	createProfile(t, elsewhere, testenv.NewProfile("alpha", "one"))
	tests := map[string]struct {
		in      string
		options metav1.ListOptions
		want    []string
	}{
		"by equal label": {namespace, metav1.ListOptions{LabelSelector: "x-k8s.io/cluster-manager=one"}, []string{"alpha", "gamma"}},
		"by a set of labels": {namespace, metav1.ListOptions{LabelSelector: "letter in (alpha,beta),letter notin (beta)"},
			[]string{"alpha"}},
		"by no label":  {elsewhere, metav1.ListOptions{LabelSelector: "!letter"}, []string{"alpha"}},
		"by name":      {namespace, metav1.ListOptions{FieldSelector: "metadata.name=beta"}, []string{"beta"}},
		"by name, not": {namespace, metav1.ListOptions{FieldSelector: "metadata.name!=beta"}, []string{"alpha", "gamma"}},
		"by name in all namespaces": {"", metav1.ListOptions{FieldSelector: "metadata.name=alpha,metadata.namespace=" + elsewhere},
			[]string{"alpha"}},
		"by manager": {namespace, metav1.ListOptions{FieldSelector: "spec.clusterManager.name=one"}, []string{"alpha", "gamma"}},
		"by manager and label": {namespace, metav1.ListOptions{FieldSelector: "spec.clusterManager.name=one", LabelSelector: "letter=gamma"},
			[]string{"gamma"}},
		"by manager, from cache": {namespace, metav1.ListOptions{FieldSelector: "spec.clusterManager.name=one", ResourceVersion: "0"},
			[]string{"alpha", "gamma"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, names(t, list(t, test.in, test.options)))
		})
	}
	t.Run("another field is a bad request that names those there are", func(t *testing.T) {
		options := metav1.ListOptions{FieldSelector: "spec.displayName=x"}
		_, err := profilesIn(t, namespace).List(t.Context(), options)
		assert.True(t, apierrors.IsBadRequest(err), "%v", err)
		assert.ErrorContains(t, err, `"metadata.name", "metadata.namespace", "spec.clusterManager.name"`)
		_, err = profilesIn(t, namespace).Watch(t.Context(), options)
		assert.True(t, apierrors.IsBadRequest(err), "%v", err)
	})
}
