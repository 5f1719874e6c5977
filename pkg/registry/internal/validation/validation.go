// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation has checks for several stored resources, which behave like those of a CRD.
package validation

import (
	"regexp"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/pkg/bounds"
)

// Key returns an error if key, of an entry in a list of type map, is empty or in seen. It adds key
// to seen.
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

// Count returns an error if a list has more than limit entries.
func Count(count, limit int, path *field.Path) field.ErrorList {
	if count > limit {
		return field.ErrorList{field.TooMany(path, count, limit)}
	}
	return nil
}

// Invalid returns an error for each of the messages that a check of value has returned.
func Invalid(messages []string, value string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, message := range messages {
		errs = append(errs, field.Invalid(path, value, message))
	}
	return errs
}

// Name returns an error if name has more than limit code points, without repeating it, or else one
// for each of the messages of validate.
func Name(name string, limit int, validate func(string) []string, path *field.Path) field.ErrorList {
	if errs := Length(name, limit, path); len(errs) > 0 {
		return errs
	}
	return Invalid(validate(name), name, path)
}

// The limits in upstream's CRD, from the markers of metav1.Condition. They differ from those of
// apimachinery's ValidateConditions, which counts bytes and accepts only shorter types.
const (
	maxConditionType    = 316
	maxConditionReason  = 1024
	maxConditionMessage = 32768
)

var (
	conditionType = regexp.MustCompile(
		`^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`)
	conditionReason   = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)
	conditionStatuses = sets.New(metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown)
)

// Conditions returns the errors in conditions, by field.
func Conditions(conditions []metav1.Condition, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i := range conditions {
		if bounds.Enough(errs) {
			break
		}
		errs = append(errs, Key(conditions[i].Type, seen, path.Index(i).Child("type"))...)
		errs = append(errs, validateCondition(&conditions[i], path.Index(i))...)
	}
	return errs
}

func validateCondition(condition *metav1.Condition, path *field.Path) field.ErrorList {
	errs := validateText(condition.Type, conditionType, maxConditionType, path.Child("type"))
	errs = append(errs, validateText(condition.Reason, conditionReason, maxConditionReason, path.Child("reason"))...)
	errs = append(errs, Length(condition.Message, maxConditionMessage, path.Child("message"))...)
	if condition.Reason == "" {
		errs = append(errs, field.Required(path.Child("reason"), ""))
	}
	if !conditionStatuses.Has(condition.Status) {
		errs = append(errs, field.NotSupported(path.Child("status"), condition.Status, sets.List(conditionStatuses)))
	}
	if condition.LastTransitionTime.IsZero() {
		errs = append(errs, field.Required(path.Child("lastTransitionTime"), ""))
	}
	if condition.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("observedGeneration"), condition.ObservedGeneration, "must not be negative"))
	}
	return errs
}

// validateText checks the length of value, and matches it with pattern. It accepts an empty value.
func validateText(value string, pattern *regexp.Regexp, limit int, path *field.Path) field.ErrorList {
	errs := Length(value, limit, path)
	if len(errs) == 0 && value != "" && !pattern.MatchString(value) {
		errs = append(errs, field.Invalid(path, value, "must match "+pattern.String()))
	}
	return errs
}
