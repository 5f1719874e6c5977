// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	metadatafake "k8s.io/client-go/metadata/fake"
)

func TestOwners(t *testing.T) {
	configMap := func(name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: uid}
	}
	profile := func(name string, uid types.UID) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: inventory.String(), Kind: "ClusterProfile", Name: name, UID: uid}
	}
	there := func(reference metav1.OwnerReference) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: reference.APIVersion, Kind: reference.Kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: reference.Name, UID: reference.UID},
		}
	}
	scheme := metadatafake.NewTestScheme()
	require.NoError(t, metav1.AddMetaToScheme(scheme))
	client := metadatafake.NewSimpleMetadataClient(scheme, []runtime.Object{there(configMap("scheduler", "1")), there(configMap("replaced", "20")), there(profile("bravelion", "30"))}...)
	moved := sets.New[types.UID]("3", "4")

	decision, cluster := kinds[1], kinds[0]
	tests := map[string]struct {
		of            kind
		reference     metav1.OwnerReference
		ahead         bool
		kept, dropped []metav1.OwnerReference
		err           string
	}{
		"one that is there is kept":                          {of: decision, reference: configMap("scheduler", "1"), kept: []metav1.OwnerReference{configMap("scheduler", "1")}},
		"one that is gone is dropped":                        {of: decision, reference: configMap("gone", "2"), dropped: []metav1.OwnerReference{configMap("gone", "2")}},
		"another of its name is not it":                      {of: decision, reference: configMap("replaced", "2"), dropped: []metav1.OwnerReference{configMap("replaced", "2")}},
		"of a kind that is gone":                             {of: decision, reference: metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Gone", Name: "x", UID: "9"}, dropped: []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: "Gone", Name: "x", UID: "9"}}},
		"one that has moved has its new UID":                 {of: decision, reference: profile("bravelion", "3"), kept: []metav1.OwnerReference{profile("bravelion", "30")}},
		"one that moves has not moved ahead of the import":   {of: decision, reference: profile("bravelion", "3"), ahead: true, kept: []metav1.OwnerReference{profile("bravelion", "3")}},
		"one that should have moved is missed":               {of: decision, reference: profile("smartfish", "4"), err: "owner ClusterProfile smartfish: it has not been imported"},
		"one of the same kind may move later and is dropped": {of: cluster, reference: profile("bravelion", "3"), dropped: []metav1.OwnerReference{profile("bravelion", "3")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t).Hub
			hub.Metadata = client
			owners := newOwners(hub, moved)
			owners.ahead = test.ahead
			owned := &unstructured.Unstructured{Object: map[string]any{}}
			owned.SetNamespace("default")
			owned.SetOwnerReferences([]metav1.OwnerReference{test.reference})
			kept, dropped, err := owners.split(t.Context(), test.of, owned)
			if test.err != "" {
				require.EqualError(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.kept, kept)
			assert.Equal(t, test.dropped, dropped)
		})
	}
}
