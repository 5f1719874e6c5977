// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package taints

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func TestParse(t *testing.T) {
	taints, err := Parse(`[{"key":"gpu","value":"old","effect":"NoSelect","timeAdded":"2030-01-01T12:00:00Z"}, ` +
		`{"key":"example.com/drain","effect":"NoSelectIfNew"}]`)
	require.NoError(t, err)
	require.Len(t, taints, 2)
	assert.Equal(t, v1alpha1.ClusterTaint{
		Key: "gpu", Value: "old", Effect: v1alpha1.TaintEffectNoSelect, TimeAdded: taints[0].TimeAdded,
	}, taints[0])
	assert.Equal(t, "2030-01-01T12:00:00Z", taints[0].TimeAdded.UTC().Format(time.RFC3339))
	assert.True(t, taints[1].TimeAdded.IsZero())
}

func TestParse_Errors(t *testing.T) {
	for name, tc := range map[string]struct{ annotation, want string }{
		"nothing at all":               {"", "no JSON list"},
		"an object":                    {`{"key":"gpu","effect":"NoSelect"}`, "no JSON list"},
		"two lists":                    {`[] []`, "more than one"},
		"a field that no taint has":    {`[{"key":"gpu","efect":"NoSelect"}]`, "efect"},
		"no key":                       {`[{"effect":"NoSelect"}]`, "taint 0: key"},
		"a key that is none":           {`[{"key":"a b","effect":"NoSelect"}]`, `taint 0: key "a b"`},
		"no effect":                    {`[{"key":"gpu"}]`, `taint 0: effect ""`},
		"an effect of nodes":           {`[{"key":"a","effect":"NoSelect"},{"key":"gpu","effect":"NoSchedule"}]`, `taint 1: effect "NoSchedule"`},
		"a value that is too long":     {`[{"key":"a","effect":"NoSelect","value":"` + strings.Repeat("v", 1025) + `"}]`, "longer than 1024"},
		"a time that is none":          {`[{"key":"a","effect":"NoSelect","timeAdded":"today"}]`, "no JSON list"},
		"the second of two is wrong":   {`[{"key":"a","effect":"NoSelect"},{}]`, "taint 1"},
		"what follows the list is not": {`[]x`, "more than one"},
		"too many":                     {"[" + strings.Repeat("{},", MaxTaints) + "{}]", "there are 1001 taints, and at most 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			taints, err := Parse(tc.annotation)
			require.ErrorContains(t, err, tc.want)
			assert.Nil(t, taints)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`[{"key":"gpu","value":"old","effect":"NoSelect","timeAdded":"2030-01-01T12:00:00Z"}]`)
	f.Add(`[{}] []`)
	f.Fuzz(func(t *testing.T, annotation string) {
		taints, err := Parse(annotation)
		if err == nil {
			assert.LessOrEqual(t, len(taints), MaxTaints)
		}
	})
}
