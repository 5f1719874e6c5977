// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package bounds keeps an object that a client sends from costing more than its bytes do: it bounds
// the entries of its lists and maps, and what is said about its mistakes.
package bounds

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"clusterpass.dev/pkg/words"
)

const (
	// MaxEntries bounds each list and each map of an object that has no lower bound of its own.
	MaxEntries = 1000
	// MaxTotal bounds the entries of all lists and maps of an object together.
	MaxTotal = 20_000
)

// Check returns an error for each list or map of object that has too many entries, by its field. A
// list within a list has one error, whose field has [] in place of the index. What old has, which
// is the object as it is stored or nil, may stay: a list may be as long as the longest of its field
// was. Whoever gets an error looks at nothing else of object.
func Check(object, old any) field.ErrorList {
	counted := count(object)
	if len(counted.long) == 0 && counted.total <= MaxTotal {
		return nil
	}
	was := count(old)
	var errs field.ErrorList
	for _, path := range slices.Sorted(maps.Keys(counted.long)) {
		if entries := counted.long[path]; entries > was.long[path] && !ofServer.Has(path) {
			errs = append(errs, field.TooMany(field.NewPath(path), entries, MaxEntries))
		}
	}
	if len(errs) == 0 && counted.total > max(MaxTotal, was.total) {
		total := field.TooMany(nil, counted.total, MaxTotal)
		total.Field, total.Detail = "", "all lists and maps together "+total.Detail
		return field.ErrorList{total}
	}
	return errs
}

// ofServer are lists that the server fills in: the groups of whoever asks for something.
var ofServer = sets.New("spec.author.groups", "spec.requester.groups", "status.lastRequester.groups")

// tally is how many entries an object has.
type tally struct {
	// long are the most entries that a list or map has, by the path of its field, where these are more
	// than MaxEntries.
	long  map[string]int
	total int
}

func count(object any) tally {
	t := tally{long: map[string]int{}}
	if value := reflect.ValueOf(object); value.IsValid() {
		t.add(value, nil)
	}
	return t
}

// add counts the entries in value, which is at path.
func (t *tally) add(value reflect.Value, path []string) {
	if !holdsEntries(value.Type()) {
		return
	}
	switch value.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			t.add(value.Elem(), path)
		}
	case reflect.Struct:
		for _, f := range fieldsOf(value.Type()) {
			in := path
			if f.name != "" {
				in = append(path, f.name) // each field is done with before the next one takes its place
			}
			t.add(value.Field(f.index), in)
		}
	case reflect.Slice, reflect.Array:
		t.have(value.Len(), path)
		if len(path) > 0 && holdsEntries(value.Type().Elem()) {
			in := append(slices.Clone(path[:len(path)-1]), path[len(path)-1]+"[]")
			for i := range value.Len() {
				t.add(value.Index(i), in)
			}
		}
	case reflect.Map:
		t.have(value.Len(), path)
		for entries := value.MapRange(); entries.Next(); {
			t.add(entries.Value(), append(slices.Clone(path), entries.Key().String()))
		}
	default:
	}
}

func (t *tally) have(entries int, path []string) {
	t.total += entries
	if entries > MaxEntries {
		at := strings.Join(path, ".")
		t.long[at] = max(t.long[at], entries)
	}
}

// structField is one that may hold entries. Its name is that in JSON, empty if it is inlined.
type structField struct {
	name  string
	index int
}

var (
	marshaler = reflect.TypeFor[json.Marshaler]()
	// fields are the fields of the types that were seen, and holding whether types hold entries.
	fields, holding sync.Map
)

func fieldsOf(t reflect.Type) []structField {
	if known, ok := fields.Load(t); ok {
		return known.([]structField) //nolint:forcetypeassert,errcheck // Nothing else is stored.
	}
	var all []structField
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "-" && holdsEntries(f.Type) {
			all = append(all, structField{name: name, index: i})
		}
	}
	fields.Store(t, all)
	return all
}

// holdsEntries returns whether there can be lists or maps in a value of a type. Bytes, and what
// encodes itself, are one value.
func holdsEntries(t reflect.Type) bool {
	if known, ok := holding.Load(t); ok {
		return known.(bool) //nolint:forcetypeassert,errcheck // Nothing else is stored.
	}
	holds := false
	switch t.Kind() {
	case reflect.Interface, reflect.Map:
		holds = true
	case reflect.Slice, reflect.Array:
		holds = t.Elem().Kind() != reflect.Uint8
	case reflect.Pointer:
		holds = !t.Implements(marshaler) && holdsEntries(t.Elem())
	case reflect.Struct:
		if !t.Implements(marshaler) && !reflect.PointerTo(t).Implements(marshaler) {
			holding.Store(t, true) // for a type that has itself as a part
			holds = len(fieldsOf(t)) > 0
		}
	default:
	}
	holding.Store(t, holds)
	return holds
}

const (
	// MaxErrors bounds the field errors of an answer.
	MaxErrors = 20
	// maxText bounds each of the field, the value and the words of an error, in bytes. The longest
	// words of ours are those of apimachinery about names.
	maxText = 1024
)

// Enough returns whether a list of errors is long enough, so that no more need to be looked for.
func Enough(errs field.ErrorList) bool { return len(errs) > MaxErrors }

// Limit returns the first MaxErrors of errs, bounded in length, and where there are more, one that
// counts the rest. An API server joins the words of all in a time that grows with their square, and
// sends each twice.
func Limit(errs field.ErrorList) field.ErrorList {
	limited := make(field.ErrorList, 0, min(len(errs), MaxErrors+1))
	for _, err := range errs[:min(len(errs), MaxErrors)] {
		limited = append(limited, clipped(err))
	}
	if more := len(errs) - MaxErrors; more > 0 {
		limited = append(limited, &field.Error{
			Type: field.ErrorTypeInvalid, Field: words.Clean(errs[MaxErrors].Field, maxText), BadValue: field.OmitValueType{},
			Detail: fmt.Sprintf("and at least %d more", more),
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
