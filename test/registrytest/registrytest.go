// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package registrytest is what the tests of several storages need.
package registrytest

import (
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
)

// Selects returns whether the predicate of a storage selects an object by a selector of labels and one of fields, which scheme knows for kind.
func Selects(
	t *testing.T, match func(labels.Selector, fields.Selector) storage.SelectionPredicate, scheme *runtime.Scheme, kind schema.GroupVersionKind,
	obj runtime.Object, label, field string,
) bool {
	t.Helper()
	byLabel, err := labels.Parse(label)
	require.NoError(t, err)
	byField, err := fields.ParseSelector(field)
	require.NoError(t, err)
	byField, err = byField.Transform(func(name, value string) (string, string, error) { return scheme.ConvertFieldLabel(kind, name, value) })
	require.NoError(t, err)
	predicate := match(byLabel, byField)
	selected, err := predicate.Matches(obj)
	require.NoError(t, err)
	return selected
}
