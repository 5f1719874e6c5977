// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation has checks for several stored resources, which behave like those of a CRD.
package validation

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Key returns an error if key, of an entry in a list of type map, is empty or in seen. It adds key to seen.
func Key(key string, seen sets.Set[string], path *field.Path) field.ErrorList {
	if key == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if seen.Has(key) {
		return field.ErrorList{field.Duplicate(path, key)}
	}
	seen.Insert(key)
	return nil
}

// Length returns an error if value has more than limit code points, like a CRD's maxLength.
func Length(value string, limit int, path *field.Path) field.ErrorList {
	if utf8.RuneCountInString(value) > limit {
		return field.ErrorList{field.TooLong(path, "", limit)}
	}
	return nil
}
