// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/registrytest"
)

const testNamespace = "fleet"

func testScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, inventoryv1alpha1.AddToScheme(scheme))
	require.NoError(t, v1alpha2.AddToScheme(scheme))
	metav1.AddToGroupVersion(scheme, inventoryv1alpha1.GroupVersion)
	AddDefaults(scheme)
	require.NoError(t, AddFieldLabelConversion(scheme))
	return scheme
}

func profile() *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Name: "bravelion", Namespace: testNamespace, Generation: 3, Labels: map[string]string{"region": "eu"}},
		Spec:       inventoryv1alpha1.ClusterProfileSpec{DisplayName: "Lion", ClusterManager: inventoryv1alpha1.ClusterManager{Name: "ocm"}},
		Status: inventoryv1alpha1.ClusterProfileStatus{
			Conditions: []metav1.Condition{{Type: "ControlPlaneHealthy", Status: metav1.ConditionTrue}},
			Version:    inventoryv1alpha1.ClusterVersion{Kubernetes: "v1.37.2"},
		},
	}
}

// A new object starts without a status, at generation one.
func TestStrategy_PrepareForCreate(t *testing.T) {
	created := profile()
	strategy{}.PrepareForCreate(t.Context(), created)

	want := profile()
	want.Generation = 1
	want.Status = inventoryv1alpha1.ClusterProfileStatus{Conditions: []metav1.Condition{}}
	assert.Equal(t, want, created)
}

func TestStrategy_PrepareForUpdate(t *testing.T) {
	for _, tc := range []struct {
		name           string
		change         func(*inventoryv1alpha1.ClusterProfile)
		wantGeneration int64
	}{
		{"of the spec makes another generation", func(p *inventoryv1alpha1.ClusterProfile) { p.Spec.DisplayName = "Tiger" }, 4},
		{"of a label makes none", func(p *inventoryv1alpha1.ClusterProfile) { p.Labels = nil }, 3},
		{"of the status does nothing", func(p *inventoryv1alpha1.ClusterProfile) { p.Status.Version.Kubernetes = "v1.0.0" }, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			old, updated := profile(), profile()
			tc.change(updated)
			want := updated.DeepCopy()
			strategy{}.PrepareForUpdate(t.Context(), updated, old)

			want.Status = old.Status
			want.Generation = tc.wantGeneration
			assert.Equal(t, want, updated)
			assert.Equal(t, profile(), old)
		})
	}
}

// An update of the status changes the status and managed fields only.
func TestStatusStrategy_PrepareForUpdate(t *testing.T) {
	old, updated := profile(), profile()
	updated.Labels = map[string]string{"region": "us"}
	updated.Finalizers = []string{"example.com/f"}
	updated.Spec = inventoryv1alpha1.ClusterProfileSpec{}
	updated.Status.Version.Kubernetes = "v1.38.0"
	updated.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "health"}}
	newStatusStrategy(nil).PrepareForUpdate(t.Context(), updated, old)

	want := profile()
	want.Status.Version.Kubernetes = "v1.38.0"
	want.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "health"}}
	assert.Equal(t, want, updated)

	updated.Labels["region"] = "us"
	assert.Equal(t, profile(), old, "the old object shares nothing that a change of the new one would reach")
}

// Strategies come to the verdict of the CRD.
func TestStrategies_Parity(t *testing.T) {
	scheme := testScheme(t)
	registrytest.Parity(t, parity.ClusterProfiles, scheme, newStrategy(scheme), newStatusStrategy(scheme))
}

// Each strategy resets what the other sets.
func TestStrategies_ResetFields(t *testing.T) {
	for _, version := range []schema.GroupVersion{inventoryv1alpha1.GroupVersion, v1alpha2.SchemeGroupVersion} {
		registrytest.ResetFields(t, version, newStrategy(testScheme(t)), newStatusStrategy(testScheme(t)))
	}
}

// The strategy is that of a custom resource.
func TestStrategy(t *testing.T) {
	s := newStrategy(testScheme(t))
	assert.True(t, s.NamespaceScoped())
	assert.False(t, s.AllowCreateOnUpdate(t.Context()))
	assert.False(t, s.AllowUnconditionalUpdate(t.Context()))
}

// Conditions are never null.
func TestDecode_Conditions(t *testing.T) {
	codec := serializer.NewCodecFactory(testScheme(t)).LegacyCodec(inventoryv1alpha1.GroupVersion)
	for name, data := range map[string]string{
		"no status":               `{"spec":{"clusterManager":{"name":"ocm"}}}`,
		"a status without any":    `{"status":{"version":{}}}`,
		"conditions that are not": `{"status":{"conditions":null}}`,
	} {
		t.Run(name, func(t *testing.T) {
			decoded := &inventoryv1alpha1.ClusterProfile{}
			kind := inventoryv1alpha1.GroupVersion.WithKind("ClusterProfile")
			_, _, err := codec.Decode([]byte(data), &kind, decoded)
			require.NoError(t, err)
			assert.NotNil(t, decoded.Status.Conditions)
			assert.Empty(t, decoded.Status.Conditions)
		})
	}
}
