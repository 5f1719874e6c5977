// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterscore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/test/registrytest"
)

var testTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func score() *v1alpha1.ClusterScore {
	until := metav1.NewTime(testTime.Add(3 * time.Minute))
	return &v1alpha1.ClusterScore{
		ObjectMeta: metav1.ObjectMeta{Name: "bravelion-usage", Namespace: "fleet", Generation: 3, Labels: map[string]string{"region": "eu"}},
		Spec:       v1alpha1.ClusterScoreSpec{ClusterProfileName: "bravelion", ResourceName: "usage"},
		Status: v1alpha1.ClusterScoreStatus{
			Scores:     []v1alpha1.ClusterScoreItem{{Name: "cpu", Value: ptr.To(int32(7))}},
			ValidUntil: &until,
		},
	}
}

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	require.NoError(t, AddFieldLabelConversion(scheme))
	return scheme
}

// A new object starts without a status, at generation one.
func TestStrategy_PrepareForCreate(t *testing.T) {
	created := score()
	strategy{}.PrepareForCreate(t.Context(), created)

	want := score()
	want.Generation, want.Status = 1, v1alpha1.ClusterScoreStatus{}
	assert.Equal(t, want, created)
}

// An update leaves the status.
func TestStrategy_PrepareForUpdate(t *testing.T) {
	old, updated := score(), score()
	updated.Labels, updated.Status = nil, v1alpha1.ClusterScoreStatus{}
	strategy{}.PrepareForUpdate(t.Context(), updated, old)

	want := score()
	want.Labels = nil
	assert.Equal(t, want, updated)
	assert.Equal(t, score(), old)
}

// An update of the status changes the status and managed fields only.
func TestStatusStrategy_PrepareForUpdate(t *testing.T) {
	old, updated := score(), score()
	updated.Labels = map[string]string{"region": "us"}
	updated.Spec = v1alpha1.ClusterScoreSpec{}
	updated.Status.Scores[0].Value = ptr.To(int32(8))
	updated.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "collector"}}
	newStatusStrategy(nil).PrepareForUpdate(t.Context(), updated, old)

	want := score()
	want.Status.Scores[0].Value = ptr.To(int32(8))
	want.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "collector"}}
	assert.Equal(t, want, updated)
	assert.Equal(t, score(), old)
}

// Each strategy resets what the other sets.
func TestStrategies_ResetFields(t *testing.T) {
	registrytest.ResetFields(t, v1alpha1.SchemeGroupVersion, newStrategy(testScheme(t)), newStatusStrategy(testScheme(t)))
}

func TestFieldSelectors(t *testing.T) {
	scheme, kind := testScheme(t), v1alpha1.SchemeGroupVersion.WithKind("ClusterScore")
	for selector, want := range map[string]bool{
		"":                                  true,
		"metadata.name=bravelion-usage":     true,
		"metadata.namespace=others":         false,
		"spec.clusterProfileName=bravelion": true,
		"spec.clusterProfileName=whale":     false,
		"spec.clusterProfileName=bravelion,spec.resourceName=usage": true,
		"spec.resourceName!=usage":                                  false,
	} {
		t.Run("selector "+selector, func(t *testing.T) {
			assert.Equal(t, want, registrytest.Selects(t, selected.Match, scheme, kind, score(), "", selector))
		})
	}
	t.Run("another field is refused with the ones that there are", func(t *testing.T) {
		_, _, err := scheme.ConvertFieldLabel(kind, "status.validUntil", "")
		assert.EqualError(t, err, `"status.validUntil" is not a known field selector: `+
			`only "metadata.name", "metadata.namespace", "spec.clusterProfileName", "spec.resourceName"`)
	})
}

// A watch of one resource name is triggered by its scores.
func TestSelection_Triggers(t *testing.T) {
	predicate := selected.Match(labels.Everything(), fields.OneTermEqualSelector(resourceField, "usage"))
	want := []storage.MatchValue{{IndexName: storage.FieldIndex(resourceField), Value: "usage"}}
	require.Equal(t, want, predicate.MatcherIndex(t.Context()))
	assert.Equal(t, "usage", selected.Triggers()[resourceField](score()))
}

// The table tells how long a score is valid.
func TestTable(t *testing.T) {
	s := score()
	assert.Equal(t, []any{"bravelion", "usage", "in 3m"}, cells(s, testTime))
	s.Status.ValidUntil = &metav1.Time{Time: testTime.Add(-2 * time.Hour)}
	assert.Equal(t, []any{"bravelion", "usage", "expired 120m ago"}, cells(s, testTime))
	s.Status.ValidUntil = nil
	assert.Equal(t, []any{"bravelion", "usage", "<none>"}, cells(s, testTime))
}
