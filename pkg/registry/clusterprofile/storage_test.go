// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package clusterprofile

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/registry/internal/table"
)

func TestTable(t *testing.T) {
	silent := profile()
	silent.Name = "smartfish"
	silent.Status = inventoryv1alpha1.ClusterProfileStatus{}
	list := &inventoryv1alpha1.ClusterProfileList{
		ListMeta: metav1.ListMeta{ResourceVersion: "7", Continue: "next"},
		Items:    []inventoryv1alpha1.ClusterProfile{*profile(), *silent},
	}
	printed, err := table.New(columns, cells).ConvertToTable(t.Context(), list, nil)
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
}
