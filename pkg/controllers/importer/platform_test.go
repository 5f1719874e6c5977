// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	kubernetesfake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
)

func TestNewPlatforms(t *testing.T) {
	none := &configv1alpha1.AccessConfiguration{}
	for name, test := range map[string]struct {
		names  []string
		config *configv1alpha1.AccessConfiguration
		want   string
	}{
		"nothing is imported by default": {nil, none, ""},
		"both":                           {[]string{"Karmada", "ClusterAPI"}, config, ""},
		"one that is not known":          {[]string{"karmada"}, config, `"karmada" is neither Karmada nor ClusterAPI`},
		"one twice":                      {[]string{"Karmada", "Karmada"}, config, "Karmada is there twice"},
		"one without its provider":       {[]string{"ClusterAPI"}, none, "ClusterAPI needs a provider with clusterAPISecret"},
		"the other without its provider": {[]string{"Karmada"}, none, "Karmada needs a provider with karmadaSecret"},
	} {
		t.Run(name, func(t *testing.T) {
			platforms, err := NewPlatforms(test.names, test.config)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, platforms, len(test.names))
		})
	}
}

func TestPlatform_ClusterOf(t *testing.T) {
	platforms, err := NewPlatforms([]string{Karmada, ClusterAPI}, config)
	require.NoError(t, err)
	for _, test := range []struct {
		platform *Platform
		profile  cache.ObjectName
		cluster  cache.ObjectName
		ok       bool
	}{
		{platforms[0], cache.NewObjectName("fleet", "x"), cache.NewObjectName("", "x"), true},
		{platforms[0], cache.NewObjectName("a", "x"), cache.NewObjectName("", "x"), false},
		{platforms[1], cache.NewObjectName("b", "x"), cache.NewObjectName("b", "x"), true},
		{platforms[1], cache.NewObjectName("fleet", "x"), cache.NewObjectName("fleet", "x"), false},
	} {
		cluster, ok := test.platform.clusterOf(test.profile)
		assert.Equal(t, test.ok, ok, "%s", test.profile)
		assert.Equal(t, test.cluster, cluster)
		if ok {
			assert.Equal(t, test.profile, test.platform.profileOf(cluster))
		}
	}
}

func TestController_Open(t *testing.T) {
	platforms, err := NewPlatforms([]string{ClusterAPI}, config)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		served  []string
		allowed bool
		want    string
		version string
	}{
		"without the API":                {nil, true, "the hub does not serve cluster.x-k8s.io in v1beta2 or v1beta1", ""},
		"without rights":                 {[]string{"v1beta1"}, false, "may not get, list, watch clusters.cluster.x-k8s.io", ""},
		"an older version":               {[]string{"v1beta1"}, true, "", "v1beta1"},
		"the best version, if there are": {[]string{"v1beta1", "v1beta2"}, true, "", "v1beta2"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := kubernetesfake.NewClientset()
			for _, version := range test.served {
				hub.Resources = append(hub.Resources, &metav1.APIResourceList{GroupVersion: "cluster.x-k8s.io/" + version})
			}
			hub.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
				review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
				review.Status.Allowed = test.allowed && review.Spec.ResourceAttributes.Namespace == "a"
				return true, review, nil
			})
			c := &Controller{Options: Options{Hub: hub, Objects: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())}}
			opened, informers, err := c.open(platforms[0])(t.Context(), "a")
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, informers, 1)
			assert.Equal(t, test.version, opened.resource.Version)
		})
	}
}

func TestKeep(t *testing.T) {
	cluster := clusterObject("bravelion", "1")
	cluster.SetAnnotations(map[string]string{"large": "x"})
	kept, err := keep(cluster)
	require.NoError(t, err)
	assert.Equal(t, clusterObject("bravelion", "1").GetUID(), kept.(*unstructured.Unstructured).GetUID())
	assert.Empty(t, kept.(*unstructured.Unstructured).GetAnnotations())
	assert.Equal(t, "id-bravelion", labelsOf(&Platform{}, kept.(*unstructured.Unstructured))[v1alpha2.LabelInventoryMemberID])
	require.NoError(t, unstructured.SetNestedField(cluster.Object, "not a label!", "spec", "id"))
	kept, err = keep(cluster)
	require.NoError(t, err)
	assert.NotContains(t, labelsOf(&Platform{}, kept.(*unstructured.Unstructured)), v1alpha2.LabelInventoryMemberID)
}
