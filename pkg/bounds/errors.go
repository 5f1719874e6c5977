// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package bounds

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/pkg/words"
)

const (
	// MaxErrors bounds the field errors of an answer.
	MaxErrors = 20
	// maxText bounds each of the field, the value and the words of an error, in bytes. The longest words of ours are
	// those of apimachinery about names.
	maxText = 1024
)

// Enough returns whether a list of errors is long enough, so that no more need to be looked for.
func Enough(errs field.ErrorList) bool { return len(errs) > MaxErrors }

// Limit returns the first MaxErrors of errs, bounded in length, and where there are more, one that counts the rest.
// An API server joins the words of all in a time that grows with their square, and sends each twice.
func Limit(errs field.ErrorList) field.ErrorList {
	limited := make(field.ErrorList, 0, min(len(errs), MaxErrors+1))
	for _, err := range errs[:min(len(errs), MaxErrors)] {
		limited = append(limited, clipped(err))
	}
	if more := len(errs) - MaxErrors; more > 0 {
		limited = append(limited, &field.Error{
			Type: field.ErrorTypeInvalid, Field: words.Clean(errs[MaxErrors].Field, maxText), BadValue: field.OmitValueType{}, Detail: fmt.Sprintf("and at least %d more", more),
		})
	}
	return limited
}

// clipped returns err with bounded texts. A value that is no scalar is left out.
func clipped(err *field.Error) *field.Error {
	short := *err
	short.Field, short.Detail = words.Clean(err.Field, maxText), words.Clean(err.Detail, maxText)
	switch value := reflect.ValueOf(err.BadValue); value.Kind() {
	case reflect.String:
		short.BadValue = words.Clean(value.String(), maxText)
	case reflect.Slice, reflect.Array, reflect.Map, reflect.Struct, reflect.Pointer, reflect.Interface:
		short.BadValue = field.OmitValueType{}
	default:
	}
	return &short
}
