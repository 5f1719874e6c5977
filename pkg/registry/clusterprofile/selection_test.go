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
			parsed, err := fields.ParseSelector(selector)
			require.NoError(t, err)
			parsed, err = parsed.Transform(func(name, value string) (string, string, error) {
				return scheme.ConvertFieldLabel(kind, name, value)
			})
			require.NoError(t, err)
			predicate := match(labels.Everything(), parsed)
			got, err := predicate.Matches(profile())
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}

	t.Run("another field is refused with the ones that there are", func(t *testing.T) {
		_, _, err := scheme.ConvertFieldLabel(kind, "spec.displayName", "Lion")
		assert.EqualError(t, err, `"spec.displayName" is not a known field selector: `+
			`only "metadata.name", "metadata.namespace", "spec.clusterManager.name"`)
	})
}

func TestLabelSelectors(t *testing.T) {
	for selector, want := range map[string]bool{"region=eu": true, "region=us": false} {
		parsed, err := labels.Parse(selector)
		require.NoError(t, err)
		predicate := match(parsed, fields.Everything())
		got, err := predicate.Matches(profile())
		require.NoError(t, err)
		assert.Equal(t, want, got, selector)
	}
}

func TestAWatchOfOneManagerIsTriggeredByItsProfiles(t *testing.T) {
	predicate := match(labels.Everything(), fields.OneTermEqualSelector(managerField, "ocm"))
	values := predicate.MatcherIndex(t.Context())
	require.Equal(t, []storage.MatchValue{{IndexName: storage.FieldIndex(managerField), Value: "ocm"}}, values)
	require.Len(t, triggers, 1)
	assert.Equal(t, "ocm", triggers[managerField](profile()))
}
