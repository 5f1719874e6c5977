// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
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
	type references = []metav1.OwnerReference
	scheduler, gone, replaced := configMap("scheduler", "1"), configMap("gone", "2"), configMap("replaced", "2")
	bravelion, smartfish := profile("bravelion", "3"), profile("smartfish", "4")
	later, laterMoved := bravelion, profile("bravelion", "30")
	later.APIVersion, laterMoved.APIVersion = "multicluster.x-k8s.io/v1alpha2", "multicluster.x-k8s.io/v1alpha2"
	ofNoKind := metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "Gone", Name: "x", UID: "9"}
	cluster, decision := kinds[0], kinds[1]
	for name, test := range map[string]struct {
		of            kind
		reference     metav1.OwnerReference
		ahead         bool
		kept, dropped references
		err           string
	}{
		"one that is there is kept":                        {of: decision, reference: scheduler, kept: references{scheduler}},
		"one that is gone is dropped":                      {of: decision, reference: gone, dropped: references{gone}},
		"another of its name is not it":                    {of: decision, reference: replaced, dropped: references{replaced}},
		"of a kind that is gone":                           {of: decision, reference: ofNoKind, dropped: references{ofNoKind}},
		"one that has moved has its new UID":               {of: decision, reference: bravelion, kept: references{profile("bravelion", "30")}},
		"one of v1alpha2, too":                             {of: decision, reference: later, kept: references{laterMoved}},
		"one that moves has not moved ahead of the import": {of: decision, reference: bravelion, ahead: true, kept: references{bravelion}},
		"one that should have moved is missed": {of: decision, reference: smartfish,
			err: "owner ClusterProfile smartfish: it has not been imported"},
		"one of the same kind may move later and is dropped": {of: cluster, reference: bravelion, dropped: references{bravelion}},
	} {
		t.Run(name, func(t *testing.T) {
			hub := newFakeHub(t, there(scheduler), there(configMap("replaced", "20")), there(profile("bravelion", "30")))
			owners := newOwners(hub.Hub, sets.New[types.UID]("3", "4"))
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
