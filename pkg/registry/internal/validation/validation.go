// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation holds the checks that more than one stored resource needs, as a CRD would make them.
package validation

import (
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Key requires the key of an entry in a list that is a map, once. It adds key to seen.
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

// Length bounds the code points of value, as a CRD's maxLength does.
func Length(value string, limit int, path *field.Path) field.ErrorList {
	if utf8.RuneCountInString(value) > limit {
		return field.ErrorList{field.TooLong(path, "", limit)}
	}
	return nil
}
