// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package table

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestConvertToTable(t *testing.T) {
	columns := []metav1.TableColumnDefinition{{Name: "Kind", Type: "string"}}
	convertor := New(columns, func(obj *metav1.PartialObjectMetadata) []any { return []any{obj.Kind} })
	obj := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{Kind: "Lion"},
		ObjectMeta: metav1.ObjectMeta{Name: "brave", ResourceVersion: "3"},
	}

	t.Run("a single object is a table with one row", func(t *testing.T) {
		table, err := convertor.ConvertToTable(t.Context(), obj, &metav1.TableOptions{})
		require.NoError(t, err)
		require.Len(t, table.Rows, 1)
		assert.Equal(t, []any{"brave", "Lion", "<unknown>"}, table.Rows[0].Cells)
		assert.Len(t, table.ColumnDefinitions, 3)
		assert.Equal(t, "3", table.ResourceVersion)
	})

	t.Run("the age stands before what only a wide table shows", func(t *testing.T) {
		wide := append(columns, metav1.TableColumnDefinition{Name: "Note", Type: "string", Priority: Wide})
		convertor := New(wide, func(obj *metav1.PartialObjectMetadata) []any { return []any{obj.Kind, "roars"} })
		table, err := convertor.ConvertToTable(t.Context(), obj, nil)
		require.NoError(t, err)
		assert.Equal(t, []any{"brave", "Lion", "<unknown>", "roars"}, table.Rows[0].Cells)
		names := make([]string, 0, 4)
		for _, column := range table.ColumnDefinitions {
			names = append(names, column.Name)
		}
		assert.Equal(t, []string{"Name", "Kind", "Age", "Note"}, names)
	})

	t.Run("headers are left out where they are not wanted", func(t *testing.T) {
		table, err := convertor.ConvertToTable(t.Context(), obj, &metav1.TableOptions{NoHeaders: true})
		require.NoError(t, err)
		assert.Empty(t, table.ColumnDefinitions)
	})

	t.Run("an object of another type is an error", func(t *testing.T) {
		_, err := New(columns, func(*metav1.APIGroup) []any { return nil }).ConvertToTable(t.Context(), obj, nil)
		assert.Error(t, err)
	})
}
