// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package bounds

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// message returns a message whose field has values.
func message(field protowire.Number, values ...[]byte) []byte {
	var m []byte
	for _, value := range values {
		m = protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), value)
	}
	return m
}

func TestCheckProtobuf(t *testing.T) {
	role, err := (&rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "a"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get", "list"}}, {}},
	}).Marshal()
	require.NoError(t, err)
	empty := make([][]byte, 20)
	for name, test := range map[string]struct {
		message []byte
		most    int
		ok      bool
	}{
		"nothing":                           {nil, 0, true},
		"as many fields as there may be":    {message(2, empty...), 20, true},
		"one more":                          {message(2, empty...), 19, false},
		"fields of fields":                  {message(2, message(2, empty...), message(2, empty...)), 41, false},
		"numbers are no fields that count":  {bytes.Repeat([]byte{1 << 3, 1}, 100), 1, true},
		"text is no message":                {message(1, []byte(strings.Repeat("a", 1000))), 1, true},
		"text that could be one":            {message(1, []byte(strings.Repeat("j", 107*100))), 1 + 200, true},
		"what is cut off counts as it can":  {message(2, empty...)[:39], 20, true},
		"many fields before what is broken": {append(message(2, empty...), 0xff), 19, false},
		"a role":                            {role, 30, true},
		"a role of too many":                {role, 5, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckProtobuf(test.message, test.most)
			if test.ok {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "the body has more than")
		})
	}
}

func TestCheckJSON(t *testing.T) {
	limits := Limits{Entries: 3, Items: 5, Keys: 6}
	for name, test := range map[string]struct {
		object, field, words string
	}{
		"what is within its limits": {`{"a":[1,2,3],"b":{"c":1e999,"d":null}}`, "", ""},
		"a list":                    {`{"a":{"b":[1,2,3,4]}}`, "a.b", "a.b has more than 3 entries"},
		"a map":                     {`{"a":{"a":1,"b":1,"c":1,"d":1}}`, "a", "a has more than 3 entries"},
		"all lists":                 {`{"a":[1,2,3],"b":[1,2,3]}`, "", "more than 5 entries together"},
		"all maps":                  {`{"a":{"a":1,"b":1},"b":{"a":1,"b":1},"c":{"a":1}}`, "", "more than 6 entries together"},
		"levels":                    {strings.Repeat(`[`, 1000), "", "more than 5 entries together"},
		"no JSON":                   {`{"a":[1,2,}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckJSON([]byte(test.object), limits)
			if test.words == "" {
				require.NoError(t, err)
				return
			}
			var encoded *EncodedError
			require.ErrorAs(t, err, &encoded)
			assert.Equal(t, test.field, encoded.Field)
			assert.Contains(t, encoded.Error(), test.words)
		})
	}
}

// TestCheckJSON_Numbers has them wherever a patch may take them from.
func TestCheckJSON_Numbers(t *testing.T) {
	limits := Limits{Entries: 10, Items: 10, Keys: 10, Numbers: true}
	digits := strings.Repeat("9", 100)
	for name, test := range map[string]struct {
		object string
		ok     bool
	}{
		"amounts":                     {`{"a":["1","1500m","0.5","1e3","12E6","-5Ki","1E999"],"b":12e18}`, true},
		"text":                        {`{"a":"1e1000 of them","b":"e100","c":"12e4567b","d":"v1.2e1000"}`, true},
		"a string":                    {`{"status":{"values":[{"name":"a","value":"1e1000000000"}]}}`, false},
		"a number":                    {`{"a":1e1000000000}`, false},
		"nought":                      {`{"a":"-e1000000000"}`, false},
		"a fraction":                  {`{"a":"-.5E-1000"}`, false},
		"zeros before the exponent":   {`{"a":"1e+0001000"}`, false},
		"many digits":                 {`{"a":"` + digits + `"}`, false},
		"many digits and a suffix":    {`{"a":"` + digits + `Ei"}`, false},
		"many digits and an exponent": {`{"a":"` + digits + `e9"}`, false},
		"a label":                     {`{"metadata":{"labels":{"a":"1e1000000000"}}}`, false},
		"a name":                      {`{"metadata":{"name":"1e1000000000"}}`, false},
		"space around it":             {`{"a":" 1e1000000000\u00a0"}`, false},
		"an escape":                   {`{"a":"1\u00651000000000"}`, false},
		"a JSON patch":                {`[{"op":"add","path":"/a","value":"1e1000000000"}]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckJSON([]byte(test.object), limits)
			if test.ok {
				require.NoError(t, err)
				return
			}
			var encoded *EncodedError
			require.ErrorAs(t, err, &encoded)
			assert.True(t, encoded.IsMalformed)
			assert.Contains(t, encoded.Error(), "a number that is too large")
			assert.Less(t, len(encoded.Error()), 200)
			require.NoError(t, CheckJSON([]byte(test.object), Limits{Entries: 10, Items: 10, Keys: 10}), "of kinds without quantities")
		})
	}
}

func TestCheckProtobuf_Numbers(t *testing.T) {
	node := func(amount string) []byte {
		// A quantity is marshalled by its text, whatever that is.
		entry := append(message(1, []byte("cpu")), message(2, message(1, []byte(amount)))...)
		return message(3, message(1, entry))
	}
	require.NoError(t, CheckProtobuf(node("12e4567b"), 100))
	require.NoError(t, CheckProtobuf(node("16"), 100))
	require.NoError(t, CheckProtobuf(message(1, append(message(1, []byte("commit")), message(2, []byte("12e4567"))...)), 100), "a label")
	require.ErrorContains(t, CheckProtobuf(node("12345678901234567890e100000000"), 100),
		"a number that is too large: 12345678901234567890e100000000")
	require.ErrorContains(t, CheckProtobuf(node("1e1000000000"), 100), "a number that is too large")
	// The decoder takes the last one of a field, and leaves out fields that it does not know.
	hidden := append(message(1, []byte("1"), []byte("1e1000000000")), message(15, []byte{})...)
	entry := append(message(1, []byte("cpu")), message(2, hidden)...)
	require.ErrorContains(t, CheckProtobuf(message(3, message(1, entry)), 100), "a number that is too large")
	require.NoError(t, CheckProtobuf(message(1, message(1, []byte("12e4567"))), 100), "the name of an object")
}

// TestCheckProtobuf_Lenient has messages with rules that are no protobuf by its specification, and
// are decoded all the same.
func TestCheckProtobuf_Lenient(t *testing.T) {
	rules := bytes.Repeat([]byte{2<<3 | 2, 0}, 3)
	for name, before := range map[string][]byte{
		"nothing before them":              {},
		"a number of a field that is huge": {0xba, 0xba, 0xba, 0xba, 0xba, 0x30, 0},
		"a number with bits too many":      {15 << 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a group that ends by another":     {15<<3 | 3, 14<<3 | 4},
		"a group in a group":               {15<<3 | 3, 15<<3 | 3, 2<<3 | 2, 1, 0, 13<<3 | 4, 14<<3 | 4},
		"a field without a number":         {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			message := append(before, rules...)
			var role rbacv1.ClusterRole
			err := CheckProtobuf(message, 2)
			if role.Unmarshal(message) != nil {
				require.NoError(t, err, "the decoder refuses it")
				return
			}
			require.Len(t, role.Rules, 3)
			require.ErrorContains(t, err, "more than 2 fields")
			list := append([]byte{2<<3 | 2, byte(len(message))}, message...)
			require.ErrorContains(t, CheckProtobuf(list, 3), "more than 3 fields", "as an item of a list")
		})
	}
}

func TestCheckJSON_Depth(t *testing.T) {
	many := Limits{Entries: 1000, Items: 1000, Keys: 1000}
	require.NoError(t, CheckJSON([]byte(strings.Repeat(`[`, 100)), many))
	var encoded *EncodedError
	require.ErrorAs(t, CheckJSON([]byte(strings.Repeat(`{"a":`, 101)), many), &encoded)
	assert.True(t, encoded.IsMalformed)
}

func FuzzCheckProtobuf(f *testing.F) {
	f.Add([]byte{2<<3 | 2, 0, 2<<3 | 2, 2, 2<<3 | 2, 0}, 2)
	f.Add([]byte(strings.Repeat("j", 300)), 10)
	f.Fuzz(func(t *testing.T, encoded []byte, most int) {
		most = min(max(most, 0), 1000)
		var role rbacv1.ClusterRole
		if role.Unmarshal(encoded) == nil && len(role.Rules) > most {
			assert.Error(t, CheckProtobuf(encoded, most), "no rule is without a field")
		}
		_ = CheckProtobuf(encoded, most)
	})
}

func FuzzCheckJSON(f *testing.F) {
	f.Add([]byte(`{"a":[{},{"b":1}]}`))
	f.Add([]byte(`[[[[{"a":`))
	f.Fuzz(func(_ *testing.T, encoded []byte) {
		_ = CheckJSON(encoded, Limits{Entries: 10, Items: 20, Keys: 20})
	})
}
