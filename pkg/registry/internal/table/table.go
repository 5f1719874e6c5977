// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package table converts stored objects into the tables that kubectl get prints.
package table

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metatable "k8s.io/apimachinery/pkg/api/meta/table"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

// Wide is the priority of the columns that only kubectl get -o wide shows.
const Wide = 1

var metaDescriptions = metav1.ObjectMeta{}.SwaggerDoc()

// Convertor prints objects of type T with their own columns after Name. Age comes before the wide
// columns, as users of kubectl expect.
type Convertor[T runtime.Object] struct {
	columns []metav1.TableColumnDefinition
	cells   func(T) []any
	// age is the index of Age among the columns after Name.
	age int
}

// New returns a Convertor. cells must return one value for each column.
func New[T runtime.Object](columns []metav1.TableColumnDefinition, cells func(T) []any) rest.TableConvertor {
	age := slices.IndexFunc(columns, func(column metav1.TableColumnDefinition) bool { return column.Priority >= Wide })
	if age < 0 {
		age = len(columns)
	}
	all := slices.Insert(slices.Clone(columns), age,
		metav1.TableColumnDefinition{Name: "Age", Type: "string", Description: metaDescriptions["creationTimestamp"]})
	all = slices.Insert(all, 0,
		metav1.TableColumnDefinition{Name: "Name", Type: "string", Format: "name", Description: metaDescriptions["name"]})
	return &Convertor[T]{columns: all, cells: cells, age: age}
}

// ConvertToTable implements rest.TableConvertor for an object of type T and for lists of them.
func (c *Convertor[T]) ConvertToTable(_ context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	rows, err := metatable.MetaToTableRow(obj, c.row)
	if err != nil {
		return nil, err
	}
	table := &metav1.Table{Rows: rows}
	if list, err := meta.ListAccessor(obj); err == nil {
		table.ResourceVersion = list.GetResourceVersion()
		table.Continue = list.GetContinue()
		table.RemainingItemCount = list.GetRemainingItemCount()
	} else if single, err := meta.CommonAccessor(obj); err == nil {
		table.ResourceVersion = single.GetResourceVersion()
	}
	if options, ok := tableOptions.(*metav1.TableOptions); !ok || !options.NoHeaders {
		table.ColumnDefinitions = c.columns
	}
	return table, nil
}

func (c *Convertor[T]) row(obj runtime.Object, _ metav1.Object, name, age string) ([]any, error) {
	typed, ok := obj.(T)
	if !ok {
		return nil, fmt.Errorf("a %T in a table of another type", obj)
	}
	return slices.Insert(slices.Insert(c.cells(typed), c.age, any(age)), 0, any(name)), nil
}

// Condition returns the cell for a condition: True, or the reason why it is not, or Unknown if
// there is none.
func Condition(conditions []metav1.Condition, kind string) string {
	condition := meta.FindStatusCondition(conditions, kind)
	switch {
	case condition == nil:
		return string(metav1.ConditionUnknown)
	case condition.Status == metav1.ConditionTrue:
		return string(metav1.ConditionTrue)
	}
	return condition.Reason
}
