// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package authtokengrant

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/storage"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/registrytest"
)

func TestFieldSelectors(t *testing.T) {
	scheme := testScheme(t)
	kind := v1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")
	for selector, want := range map[string]bool{
		"":                                    true,
		"metadata.name=bravelion-work-6f3c2a": true,
		"metadata.namespace=others":           false,
		"spec.clusterProfile.name=bravelion,spec.clusterProfile.namespace=team":  true,
		"spec.clusterProfile.name=bravelion,spec.clusterProfile.namespace=fleet": false,
		"spec.clusterProfile.uid=uid-of-bravelion":                               true,
		"spec.clusterProfile.uid=another":                                        false,
		"spec.serviceAccount.namespace=default,spec.serviceAccount.name=work":    true,
		"spec.serviceAccount.name=play":                                          false,
		"spec.requester.username=alice":                                          true,
		"spec.requester.username!=alice":                                         false,
	} {
		t.Run("selector "+selector, func(t *testing.T) {
			assert.Equal(t, want, registrytest.Selects(t, selected.Match, scheme, kind, newGrant(), "", selector))
		})
	}

	t.Run("another field is refused with the ones that there are", func(t *testing.T) {
		_, _, err := scheme.ConvertFieldLabel(kind, "spec.audiences", "vault")
		assert.EqualError(t, err, `"spec.audiences" is not a known field selector: only "metadata.name", "metadata.namespace", `+
			`"spec.clusterProfile.name", "spec.clusterProfile.namespace", "spec.clusterProfile.uid", "spec.requester.username", `+
			`"spec.serviceAccount.name", "spec.serviceAccount.namespace"`)
	})
}

func TestLabelSelectors(t *testing.T) {
	scheme, kind := testScheme(t), v1alpha1.SchemeGroupVersion.WithKind("AuthTokenGrant")
	for selector, want := range map[string]bool{"team=lions": true, "team=tigers": false} {
		assert.Equal(t, want, registrytest.Selects(t, selected.Match, scheme, kind, newGrant(), selector, ""), selector)
	}
}

// One cluster's grants are indexed.
func TestSelection_Index(t *testing.T) {
	predicate := selected.Match(labels.Everything(), fields.OneTermEqualSelector(profileUIDField, "uid-of-bravelion"))
	index := storage.FieldIndex(profileUIDField)
	require.Equal(t, []storage.MatchValue{{IndexName: index, Value: "uid-of-bravelion"}}, predicate.MatcherIndex(t.Context()))
	assert.Equal(t, "uid-of-bravelion", selected.Triggers()[profileUIDField](newGrant()))
	indexed, err := (*selected.Indexers())[index](newGrant())
	require.NoError(t, err)
	assert.Equal(t, []string{"uid-of-bravelion"}, indexed)
}
