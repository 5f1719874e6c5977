// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTurns(t *testing.T) {
	type item struct{ namespace, set, cluster string }
	byNamespace := func(i item) string { return i.namespace }
	bySet := func(i item) string { return i.set }
	pushed := []item{
		{"a", "one", "1"}, {"a", "one", "2"}, {"a", "one", "3"}, {"a", "two", "4"}, {"b", "one", "5"}, {"b", "one", "6"}, {"c", "one", "7"},
	}
	for name, test := range map[string]struct {
		groupings []func(item) string
		want      string
	}{
		"without groups, items come in their order":       {nil, "1234567"},
		"groups take turns":                               {[]func(item) string{byNamespace}, "1572634"},
		"the groups of a group take turns in those of it": {[]func(item) string{byNamespace, bySet}, "1574623"},
	} {
		t.Run(name, func(t *testing.T) {
			q := NewTurns(test.groupings...)
			for range 2 {
				for _, i := range pushed {
					q.Push(i)
				}
				var got []string
				for q.Len() > 0 {
					got = append(got, q.Pop().cluster)
				}
				assert.Equal(t, test.want, strings.Join(got, ""))
				assert.Empty(t, q.groups, "a group without items is forgotten")
			}
		})
	}
	t.Run("a group that comes later waits for one item of each other", func(t *testing.T) {
		q := NewTurns(byNamespace)
		for _, i := range pushed[:6] {
			q.Push(i)
		}
		q.Pop()
		q.Push(pushed[6])
		assert.Equal(t, "5", q.Pop().cluster)
		assert.Equal(t, "2", q.Pop().cluster)
		assert.Equal(t, "7", q.Pop().cluster)
	})
}
