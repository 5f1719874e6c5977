// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package selection is the part of a storage that selects objects by their labels and fields.
package selection

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/client-go/tools/cache"
)

// Selection has the field selectors of a kind. Use New.
type Selection[T metav1.Object] struct {
	kind   schema.GroupVersionKind
	fields map[string]func(T) string
	index  string
}

// New returns a selection by metadata.name, metadata.namespace and fields, whose functions return
// the value of an object's field. A watch for one value of the field index costs nothing for events
// of objects with other values.
func New[T metav1.Object](kind schema.GroupVersionKind, index string, fields map[string]func(T) string) *Selection[T] {
	all := maps.Clone(fields)
	all["metadata.name"] = T.GetName
	all["metadata.namespace"] = T.GetNamespace
	return &Selection[T]{kind: kind, fields: all, index: index}
}

// AddConversion makes scheme accept the field selectors in the version of the kind, and in others.
func (s *Selection[T]) AddConversion(scheme *runtime.Scheme, others ...schema.GroupVersion) error {
	for _, version := range append(others, s.kind.GroupVersion()) {
		if err := scheme.AddFieldLabelConversionFunc(version.WithKind(s.kind.Kind), s.convert); err != nil {
			return err
		}
	}
	return nil
}

func (s *Selection[T]) convert(label, value string) (convertedLabel, convertedValue string, err error) {
	if s.fields[label] == nil {
		known := slices.Sorted(maps.Keys(s.fields))
		return "", "", fmt.Errorf("%q is not a known field selector: only \"%s\"", label, strings.Join(known, `", "`))
	}
	return label, value, nil
}

// Attributes implements storage.AttrFunc: it returns the labels and fields of an object, for
// selectors.
func (s *Selection[T]) Attributes(obj runtime.Object) (labels.Set, fields.Set, error) {
	typed, ok := obj.(T)
	if !ok {
		return nil, nil, fmt.Errorf("%s expected, not a %T", s.kind.Kind, obj)
	}
	set := make(fields.Set, len(s.fields))
	for name, value := range s.fields {
		set[name] = value(typed)
	}
	return typed.GetLabels(), set, nil
}

// Match is the PredicateFunc of a store.
func (s *Selection[T]) Match(label labels.Selector, field fields.Selector) storage.SelectionPredicate {
	return storage.SelectionPredicate{Label: label, Field: field, GetAttrs: s.Attributes, IndexFields: []string{s.index}}
}

// Triggers returns the index for watches: a watch for one value of the field index skips events of
// objects with other values.
func (s *Selection[T]) Triggers() storage.IndexerFuncs {
	return storage.IndexerFuncs{s.index: func(obj runtime.Object) string {
		typed, _ := obj.(T) // the store holds nothing else
		return s.fields[s.index](typed)
	}}
}

// Indexers returns the index for lists: a list for one value of the field index skips objects with
// other values.
func (s *Selection[T]) Indexers() *cache.Indexers {
	return &cache.Indexers{storage.FieldIndex(s.index): func(obj any) ([]string, error) {
		typed, ok := obj.(T)
		if !ok {
			return nil, fmt.Errorf("%s expected, not a %T", s.kind.Kind, obj)
		}
		return []string{s.fields[s.index](typed)}, nil
	}}
}
