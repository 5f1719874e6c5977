// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/fake"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	fakediscovery "k8s.io/client-go/discovery/fake"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/profiles"
)

// crd returns a CRD of a group with versions that are served, or are not when they start with "-".
func crd(plural, group string, versions ...string) *apiextensionsv1.CustomResourceDefinition {
	c := &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: plural + "." + group, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}}},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: plural},
		},
	}
	for _, version := range versions {
		name, off := strings.CutPrefix(version, "-")
		c.Spec.Versions = append(c.Spec.Versions, apiextensionsv1.CustomResourceDefinitionVersion{
			Name: name, Served: !off, Schema: &apiextensionsv1.CustomResourceValidation{},
		})
	}
	return c
}

func TestClashingCRDs_Check(t *testing.T) {
	const ours = "multicluster.x-k8s.io"
	const profiles = ": clusterprofiles." + ours + ". "
	crds := func(all ...runtime.Object) []runtime.Object { return all }
	for name, test := range map[string]struct {
		crds []runtime.Object
		want string // empty: none
	}{
		"no CRD":                             {},
		"the one of ClusterProfile":          {crds(crd("clusterprofiles", ours, "v1alpha1")), profiles},
		"one of several versions":            {crds(crd("serviceexports", ours, "v1beta1", "v1alpha1")), ": serviceexports." + ours + ". "},
		"another version":                    {crds(crd("serviceexports", ours, "v1beta1")), ""},
		"ClusterProfiles of another version": {crds(crd("clusterprofiles", ours, "-v1alpha1", "v1alpha2")), profiles},
		"a version that is not served":       {crds(crd("serviceexports", ours, "-v1alpha1", "v1beta1")), ""},
		"another group":                      {crds(crd("clusterprofiles", "example.com", "v1alpha1")), ""},
		"a group that ends alike":            {crds(crd("clusterprofiles", "my."+ours, "v1alpha1")), ""},
		"all that clash, sorted, and no other": {crds(crd("b", ours, "v1alpha1"), crd("a", ours, "v1alpha1"), crd("c", ours, "v1")),
			": a." + ours + ", b." + ours + ". "},
		"what follows and what to do about that": {crds(crd("a", ours, "v1alpha1")),
			"or run with --inventory=External and without the APIServices v1alpha2." + ours + " and v1alpha1." + ours},
	} {
		t.Run(name, func(t *testing.T) {
			clashing, err := newClashingCRDs(apiextensions.NewClientset(test.crds...))
			require.NoError(t, err)
			follow(t, clashing, clashing.follower)
			err = clashing.Check(nil)
			if test.want == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.want)
			}
			for _, kept := range clashing.GetStore().List() {
				c := kept.(*apiextensionsv1.CustomResourceDefinition)
				assert.Nil(t, c.ManagedFields)
				assert.Nil(t, c.Spec.Versions[0].Schema)
			}
		})
	}
}

func TestClashingCRDs_CheckAfterDeletion(t *testing.T) {
	clashing := crd("clusterprofiles", "multicluster.x-k8s.io", "v1alpha1")
	hub := apiextensions.NewClientset()
	crds, err := newClashingCRDs(hub)
	require.NoError(t, err)
	follow(t, crds, crds.follower)
	client := hub.ApiextensionsV1().CustomResourceDefinitions()
	_, err = client.Create(t.Context(), clashing, metav1.CreateOptions{})
	require.NoError(t, err)
	eventually(t, "the clash is found", func() bool { return crds.Check(nil) != nil })
	require.NoError(t, client.Delete(t.Context(), clashing.Name, metav1.DeleteOptions{}))
	eventually(t, "the clash is over", func() bool { return crds.Check(nil) == nil })
}

// A server that may not look is not ready.
func TestInventory_Forbidden(t *testing.T) {
	forbidden := apierrors.NewForbidden(apiextensionsv1.Resource("any"), "", errors.New("no rule allows it"))
	missing := apierrors.NewGenericServerResponse(404, "get", inventoryv1alpha1.Resource("clusterprofiles"), "", "", 0, true)

	t.Run("at CRDs", func(t *testing.T) {
		hub := apiextensions.NewClientset()
		refuse(&hub.Fake, forbidden)
		crds, err := newClashingCRDs(hub)
		require.NoError(t, err)
		start(t, crds)
		untilSays(t, crds, "it needs list and watch on them")
	})
	for says, err := range map[string]error{
		"the server needs get, list and watch on them": forbidden,
		"the hub has no ClusterProfiles":               missing,
	} {
		t.Run("at ClusterProfiles: "+says, func(t *testing.T) {
			hub := newHubOfProfiles(t)
			refuse(&hub.Fake, err)
			profiles, err := newExternalProfiles(hub, servedInV1alpha1())
			require.NoError(t, err)
			start(t, profiles)
			untilSays(t, profiles, says)
			_, err = profiles.Cached(t.Context(), "default", "any")
			assert.True(t, apierrors.IsServiceUnavailable(err), "before anything is read: %v", err)
			_, err = profiles.Stored(t.Context(), "default", "any")
			assert.True(t, apierrors.IsServiceUnavailable(err), "before anything is read: %v", err)
		})
	}
}

// servedInV1alpha1 says that a hub serves ClusterProfiles in v1alpha1.
func servedInV1alpha1() *profiles.Versions {
	return profiles.NewVersions(&fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{Resources: []*metav1.APIResourceList{{
		GroupVersion: inventoryv1alpha1.GroupVersion.String(), APIResources: []metav1.APIResource{{Name: profiles.ClusterProfiles}},
	}}}})
}

// newHubOfProfiles returns a hub that serves these ClusterProfiles without this server.
func newHubOfProfiles(t *testing.T, known ...runtime.Object) *dynamicfake.FakeDynamicClient {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	return dynamicfake.NewSimpleDynamicClient(scheme, known...)
}

// What is not in the cache is found at once.
func TestExternalProfiles(t *testing.T) {
	known := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "known", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}},
	}}
	hub := newHubOfProfiles(t, known)
	profiles, err := newExternalProfiles(hub, servedInV1alpha1())
	require.NoError(t, err)
	follow(t, profiles, profiles.follower)
	// The informer never hears of it, as it has not yet of one that was created a moment ago.
	hub.PrependReactor("get", "clusterprofiles", func(action clienttesting.Action) (bool, runtime.Object, error) {
		get, ok := action.(clienttesting.GetAction)
		if !ok || get.GetName() != "new" {
			return false, nil, nil
		}
		return true, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": inventoryv1alpha1.SchemeGroupVersion.String(), "kind": "ClusterProfile",
			"metadata": map[string]any{"namespace": get.GetNamespace(), "name": "new"},
		}}, nil
	})
	hub.ClearActions()

	profile, err := profiles.Cached(t.Context(), "default", "known")
	require.NoError(t, err)
	assert.Equal(t, "known", profile.Name)
	assert.Nil(t, profile.ManagedFields)
	assert.Empty(t, hub.Actions(), "a known profile costs no calls")
	_, err = profiles.Cached(t.Context(), "default", "new")
	assert.True(t, apierrors.IsNotFound(err), "of the cache: %v", err)
	profile, err = profiles.Stored(t.Context(), "default", "new")
	require.NoError(t, err)
	assert.Equal(t, "new", profile.Name)
	_, err = profiles.Stored(t.Context(), "default", "none")
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	_, err = profiles.Stored(t.Context(), "other", "known")
	assert.True(t, apierrors.IsNotFound(err), "in another namespace: %v", err)
}

// refuse has the hub answer every list and watch with err.
func refuse(hub *clienttesting.Fake, err error) {
	hub.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
	hub.PrependWatchReactor("*", func(clienttesting.Action) (bool, watch.Interface, error) { return true, nil, err })
}

// start runs w until the test ends.
func start(t *testing.T, w hubWatch) {
	t.Helper()
	var running sync.WaitGroup
	running.Go(func() { w.RunWithContext(t.Context()) })
	t.Cleanup(running.Wait)
}

// follow is start for a hub that answers, and waits until everything has been read.
func follow(t *testing.T, w hubWatch, f *follower) {
	t.Helper()
	start(t, w)
	eventually(t, "the hub is read", func() bool { return f.Check(nil) == nil })
}

func untilSays(t *testing.T, w hubWatch, words string) {
	t.Helper()
	eventually(t, words, func() bool {
		err := w.Check(nil)
		return err != nil && strings.Contains(err.Error(), words)
	})
}
