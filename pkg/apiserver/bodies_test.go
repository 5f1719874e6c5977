// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/bounds"
)

func TestBoundBodies(t *testing.T) {
	const asJSON, asYAML = "application/json", "application/yaml"
	const asApply, asPatch = "application/apply-patch+yaml", "application/json-patch+json"
	const tooMany, tooLarge = maxBodyEntries + 1, "a number that is too large"
	large := `"` + strings.Repeat("a", int(tokenRequestBody.bytes)) + `"`
	many := func(entry string, n int) string { return strings.TrimSuffix(strings.Repeat(entry+",", n), ",") }
	list := func(n int) string { return `{"status":{"conditions":[` + many("{}", n) + `]}}` }
	for name, test := range map[string]struct {
		resource, subresource, contentType, body string
		code                                     int
		words                                    string
	}{
		"what is within its bounds goes on": {"clusterprofiles", "status", asJSON, list(maxBodyEntries), 200, ""},
		"a list": {"clusterprofiles", "status", asJSON, list(tooMany), 413,
			"status.conditions has more than 10000 entries"},
		"a list within lists": {
			"authtokenrequests", "", asJSON, `{"spec":{"clusterRoles":[{"name":"a"},{"rules":[` + many("{}", bounds.MaxEntries+1) + `]}]}}`, 413,
			"spec.clusterRoles.rules has more than 1000 entries",
		},
		"a map": {"placements", "", asJSON, `{"metadata":{"labels":{` + many(`"a":""`, tooMany) + `}}}`, 413,
			"metadata.labels has more than 10000 entries"},
		"many lists":     {"clusterprofiles", "", asJSON, `{"a":[` + many(`[{},{},{},{}]`, 5000) + `]}`, 413, "together"},
		"many documents": {"clusterprofiles", "", asJSON, strings.Repeat("{}", tooMany), 413, "the body has more than"},
		"a JSON patch":   {"placements", "", asPatch, `[` + many(`{"op":"test"}`, tooMany) + `]`, 413, "the body has more than"},
		"YAML": {"placements", "", asYAML, "spec:\n  clusterSets:\n" + strings.Repeat("  - a\n", tooMany), 413,
			"spec.clusterSets has more than"},
		"YAML that looks like JSON": {"placements", "", asYAML, `{a: '"', spec: {clusterSets: [` + many("a", tooMany) + `]}, b: '"'}`, 413,
			"spec.clusterSets has more than"},
		"YAML with aliases": {"placements", "", asApply, "a: &a [" + many("1", 300) + "]\nb: [" + many("*a", 80) + "]\n", 413, "together"},
		"JSON as YAML":      {"clusterprofiles", "status", asApply, list(tooMany), 413, "status.conditions has more than"},
		"a list after a number that is no float": {
			"placements", "", asJSON, `{"a":1e999,"spec":{"clusterSets":[` + many("1", tooMany) + `]}}`, 413, "spec.clusterSets has more than",
		},
		"YAML of many lines": {"placements", "", asYAML, strings.Repeat("- a\n", maxBodyKeys+1), 413, "lines and commas"},
		"depth":              {"placements", "", asJSON, strings.Repeat("[", 1000), 400, "nested deeper than 100"},
		"a quantity of a billion digits": {"clusterscores", "status", asJSON, `{"status":{"values":[{"name":"a","value":"1e1000000000"}]}}`,
			400, tooLarge},
		"such a one in YAML":                {"placements", "", asApply, "spec: {x: {atLeast: 1e1000000000}}", 400, tooLarge},
		"such a one in YAML of an odd type": {"placements", "", asApply + ";a=b;a=c", "spec: {x: {atLeast: 1e1000000000}}", 400, tooLarge},
		"such a text in another kind":       {"clusterprofiles", "", asJSON, `{"a":"1e1000000000"}`, 200, ""},
		"what is no JSON goes on":           {"placements", "", asJSON, `{"a":[1,`, 200, ""},
		"strings are one value":             {"placements", "", asJSON, `{"a":"` + strings.Repeat(",{[", 20_000) + `"}`, 200, ""},
		"a token request of many bytes":     {"authtokenrequests", "", asJSON, large, 413, "authtokenrequests may have 131072 bytes"},
		"that of a profile's subresource":   {"clusterprofiles", "token", asJSON, large, 413, "clusterprofiles/token may have"},
		"a profile of as many bytes":        {"clusterprofiles", "", asJSON, large, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			passed := ""
			handler := boundBodies(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				assert.NoError(t, err)
				passed = string(body)
			}))
			for _, known := range []bool{true, false} {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(test.body))
				r.Header.Set("Content-Type", test.contentType)
				r.Header.Set("Accept", asJSON)
				if !known {
					r.ContentLength = -1
				}
				r = r.WithContext(genericapirequest.WithRequestInfo(t.Context(), &genericapirequest.RequestInfo{
					IsResourceRequest: true, APIGroup: "clusterpass.dev", APIVersion: "v1alpha1", Resource: test.resource, Subresource: test.subresource,
				}))
				w := httptest.NewRecorder()
				passed = ""
				handler.ServeHTTP(w, r)
				assert.Equal(t, test.code, w.Code)
				assert.Contains(t, w.Body.String(), test.words)
				if test.code == http.StatusOK {
					assert.Equal(t, test.body, passed)
				}
			}
		})
	}
}

// TestScheme_ListBounds looks at every list and map of every kind that is served.
func TestScheme_ListBounds(t *testing.T) {
	ofServer := sets.New("spec.author.groups", "spec.requester.groups", "status.lastRequester.groups")
	seen := sets.New[string]()
	for _, version := range []schema.GroupVersion{multiclusterv1alpha1.SchemeGroupVersion, clusterpassv1alpha1.SchemeGroupVersion} {
		for kind, of := range Scheme.KnownTypes(version) {
			if of.PkgPath() == "k8s.io/apimachinery/pkg/apis/meta/v1" || strings.HasSuffix(kind, "List") {
				continue
			}
			seen.Insert(kind)
			found := 0
			walk(of, nil, "", func(steps []int, path string) {
				found++
				object := reflect.New(of)
				fill(object.Elem(), steps, bounds.MaxEntries+1)
				errs := bounds.Check(object.Interface(), nil)
				if ofServer.Has(path) {
					assert.Empty(t, errs, path)
					return
				}
				want := fmt.Sprintf("%s: Too many: %d: must have at most %d items", path, bounds.MaxEntries+1, bounds.MaxEntries)
				if assert.Len(t, errs, 1, "%s: %s", kind, path) {
					assert.EqualError(t, errs[0], want)
				}
				assert.Empty(t, bounds.Check(object.Interface(), object.Interface()), "what is stored may stay")
			})
			assert.Greater(t, found, 4, "%s has labels, annotations, owners, finalizers and managed fields", kind)
		}
	}
	assert.Equal(t, sets.New("AuthTokenGrant", "AuthTokenRequest", "ClusterCredentialSet", "ClusterProfile", "ClusterScore", "Placement",
		"PlacementDecision"), seen)
}

// walk calls visit for each list and map in a type, with the indices of the fields that lead there
// and with its path.
func walk(of reflect.Type, steps []int, path string, visit func(steps []int, path string)) {
	switch of.Kind() {
	case reflect.Pointer:
		walk(of.Elem(), steps, path, visit)
	case reflect.Slice:
		if of.Elem().Kind() != reflect.Uint8 {
			visit(steps, path)
			walk(of.Elem(), steps, path+"[]", visit)
		}
	case reflect.Map:
		visit(steps, path)
	case reflect.Struct:
		if of.PkgPath() == reflect.TypeFor[runtime.RawExtension]().PkgPath() {
			return
		}
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.IsExported() && name != "-" {
				walk(f.Type, append(append([]int{}, steps...), i), strings.Trim(path+"."+name, "."), visit)
			}
		}
	default:
	}
}

// fill gives the list or map that steps lead to so many entries, and those on the way one.
func fill(value reflect.Value, steps []int, entries int) {
	switch value.Kind() {
	case reflect.Pointer:
		value.Set(reflect.New(value.Type().Elem()))
		fill(value.Elem(), steps, entries)
	case reflect.Slice:
		if len(steps) > 0 {
			value.Set(reflect.MakeSlice(value.Type(), 1, 1))
			fill(value.Index(0), steps, entries)
			return
		}
		value.Set(reflect.MakeSlice(value.Type(), entries, entries))
	case reflect.Map:
		value.Set(reflect.MakeMap(value.Type()))
		for i := range entries {
			value.SetMapIndex(reflect.ValueOf(strconv.Itoa(i)).Convert(value.Type().Key()), reflect.Zero(value.Type().Elem()))
		}
	default:
		fill(value.Field(steps[0]), steps[1:], entries)
	}
}

// Too many entries of a body are a Status.
func TestCheckBody(t *testing.T) {
	body := `{"spec":{"names":[` + strings.Repeat("1,", maxBodyEntries) + `1]}}`
	err := checkBody([]byte(body), "application/json", bodyLimit{entries: maxBodyEntries})
	require.Error(t, err)
	assert.True(t, apierrors.IsRequestEntityTooLargeError(err))
}
