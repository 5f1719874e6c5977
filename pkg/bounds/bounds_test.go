// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package bounds

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

func profile(conditions, properties int) *inventoryv1alpha1.ClusterProfile {
	p := &inventoryv1alpha1.ClusterProfile{}
	p.Status.Conditions = make([]metav1.Condition, conditions)
	p.Status.Properties = make([]inventoryv1alpha1.Property, properties)
	return p
}

func TestCheck(t *testing.T) {
	big := func(providers, extensions int) *inventoryv1alpha1.ClusterProfile {
		p := &inventoryv1alpha1.ClusterProfile{}
		p.Status.AccessProviders = make([]inventoryv1alpha1.AccessProvider, providers)
		for i := range p.Status.AccessProviders {
			p.Status.AccessProviders[i].Cluster.Extensions = make([]clientcmdv1.NamedExtension, extensions)
		}
		return p
	}
	for name, test := range map[string]struct {
		is, was *inventoryv1alpha1.ClusterProfile
		want    []string
	}{
		"an empty object":         {is: profile(0, 0)},
		"lists within the bounds": {is: profile(MaxEntries, MaxEntries)},
		"lists that are too long": {
			is: profile(MaxEntries+1, MaxEntries+2),
			want: []string{
				"status.conditions: Too many: 1001: must have at most 1000 items",
				"status.properties: Too many: 1002: must have at most 1000 items",
			},
		},
		"one that was as long":     {is: profile(1500, 0), was: profile(1500, 0)},
		"one that becomes shorter": {is: profile(1400, 0), was: profile(1500, 0)},
		"one that becomes longer": {
			is: profile(1501, 0), was: profile(1500, 0), want: []string{"status.conditions: Too many: 1501: must have at most 1000 items"},
		},
		"many that are not too long": {
			is: big(100, 250), want: []string{": Too many: 25100: all lists and maps together must have at most 20000 items"},
		},
		"as many as there were": {is: big(100, 250), was: big(100, 250)},
		"a list within a list": {
			is: big(2, 1001), want: []string{"status.accessProviders[].cluster.extensions: Too many: 1001: must have at most 1000 items"},
		},
		"nothing was there, as a nil": {is: profile(MaxEntries, 0), was: nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, err := range Check(test.is, test.was) {
				got = append(got, err.Error())
			}
			assert.Equal(t, test.want, got)
		})
	}
}

// A schema has schemas.
func TestHoldsEntries_Recursive(t *testing.T) {
	type tree struct{ Left, Right *tree }
	assert.True(t, holdsEntries(reflect.TypeFor[apiextensionsv1.JSONSchemaProps]()))
	assert.True(t, holdsEntries(reflect.TypeFor[tree]()))
	assert.False(t, holdsEntries(reflect.TypeFor[[]byte]()))
}

func TestLimit(t *testing.T) {
	path := field.NewPath("spec")
	var errs field.ErrorList
	for i := range 50 {
		errs = append(errs, field.Required(path.Index(i), ""))
	}
	assert.Empty(t, Limit(nil))
	assert.Len(t, Limit(errs[:MaxErrors]), MaxErrors)
	limited := Limit(errs)
	assert.Len(t, limited, MaxErrors+1)
	assert.Equal(t, "spec[19]: Required value", limited[MaxErrors-1].Error())
	assert.Equal(t, "spec[20]: Invalid value: and at least 30 more", limited[MaxErrors].Error())
	assert.False(t, Enough(errs[:MaxErrors]))
	assert.True(t, Enough(errs))

	long := strings.Repeat("a", 10_000)
	for name, err := range map[string]*field.Error{
		"a value": field.Invalid(path, long, "no"), "a field": field.Required(path.Key(long), ""), "words": field.Forbidden(path, long),
		"a list": field.Invalid(path, []string{long}, "no"),
	} {
		assert.Less(t, len(Limit(field.ErrorList{err})[0].Error()), 1200, name)
	}
	assert.Equal(t, "spec: Invalid value: 3: no", Limit(field.ErrorList{field.Invalid(path, 3, "no")})[0].Error())
	assert.Equal(t, `spec: Invalid value: "a  b": no`, Limit(field.ErrorList{field.Invalid(path, "a\r\nb", "no")})[0].Error())
}
