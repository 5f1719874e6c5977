// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/test/registrytest"
)

func TestTable(t *testing.T) {
	silent := profile()
	silent.Name = "smartfish"
	silent.Status = inventoryv1alpha1.ClusterProfileStatus{}
	list := &inventoryv1alpha1.ClusterProfileList{
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "next"},
		Items:    []inventoryv1alpha1.ClusterProfile{*profile(), *silent},
	}
	printed, err := convertor.ConvertToTable(t.Context(), list, nil)
	require.NoError(t, err)

	header := map[string]int32{}
	for _, column := range printed.ColumnDefinitions {
		header[column.Name] = column.Priority
		assert.NotEmpty(t, column.Description, column.Name)
	}
	assert.Equal(t, map[string]int32{"Name": 0, "Manager": 0, "Version": 0, "Healthy": 0, "Display Name": 1, "Age": 0}, header)
	require.Len(t, printed.Rows, 2)
	assert.Equal(t, []any{"bravelion", "ocm", "v1.37.2", "True", "<unknown>", "Lion"}, printed.Rows[0].Cells)
	assert.Equal(t, []any{"smartfish", "ocm", "", "Unknown", "<unknown>", "Lion"}, printed.Rows[1].Cells)
	assert.Equal(t, "7", printed.ResourceVersion)
	assert.Equal(t, "next", printed.Continue)
	printed.DeepCopy()

	inLater := genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{
		APIGroup: v1alpha2.GroupName, APIVersion: v1alpha2.SchemeGroupVersion.Version,
	})
	printed, err = convertor.ConvertToTable(inLater, list, nil)
	require.NoError(t, err)
	var names []string
	for _, column := range printed.ColumnDefinitions {
		names = append(names, column.Name)
		assert.Zero(t, column.Priority, column.Name)
	}
	assert.Equal(t, []string{"Name", "Display Name", "Manager", "Version", "Healthy", "Age"}, names, "upstream's order")
	assert.Equal(t, []any{"bravelion", "Lion", "ocm", "v1.37.2", "True", "<unknown>"}, printed.Rows[0].Cells)
}

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
	require.Equal(t, []storage.MatchValue{{IndexName: storage.FieldIndex(managerField), Value: "ocm"}}, predicate.MatcherIndex(t.Context()))
	require.Len(t, selected.Triggers(), 1)
	assert.Equal(t, "ocm", selected.Triggers()[managerField](profile()))
}
