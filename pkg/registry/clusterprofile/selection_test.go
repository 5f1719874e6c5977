// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/storage"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/test/registrytest"
)

func TestFieldSelectors(t *testing.T) {
	scheme := testScheme(t)
	kind := inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile")
	for selector, want := range map[string]bool{
		"":                          true,
		"metadata.name=bravelion":   true,
		"metadata.name!=bravelion":  false,
		"metadata.namespace=fleet":  true,
		"metadata.namespace=others": false,
		"spec.clusterManager.name=ocm,metadata.name=bravelion": true,
		"spec.clusterManager.name=karmada":                     false,
	} {
		t.Run("selector "+selector, func(t *testing.T) {
			assert.Equal(t, want, registrytest.Selects(t, selected.Match, scheme, kind, profile(), "", selector))
		})
	}

	t.Run("another field is refused with the ones that there are", func(t *testing.T) {
		_, _, err := scheme.ConvertFieldLabel(kind, "spec.displayName", "Lion")
		assert.EqualError(t, err, `"spec.displayName" is not a known field selector: `+
			`only "metadata.name", "metadata.namespace", "spec.clusterManager.name"`)
	})
}

func TestLabelSelectors(t *testing.T) {
	scheme, kind := testScheme(t), inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile")
	for selector, want := range map[string]bool{"region=eu": true, "region=us": false} {
		assert.Equal(t, want, registrytest.Selects(t, selected.Match, scheme, kind, profile(), selector, ""), selector)
	}
}

// A watch of one manager is triggered by its ClusterProfiles.
func TestSelection_Triggers(t *testing.T) {
	predicate := selected.Match(labels.Everything(), fields.OneTermEqualSelector(managerField, "ocm"))
	values := predicate.MatcherIndex(t.Context())
	require.Equal(t, []storage.MatchValue{{IndexName: storage.FieldIndex(managerField), Value: "ocm"}}, values)
	require.Len(t, selected.Triggers(), 1)
	assert.Equal(t, "ocm", selected.Triggers()[managerField](profile()))
}
