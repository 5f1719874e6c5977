// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package names

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestFit(t *testing.T) {
	longest := strings.Repeat("a", 253)
	for name, test := range map[string]struct{ of, want string }{
		"a short name stays as it is":                {"member-team-bravelion", "member-team-bravelion"},
		"the longest name stays as it is":            {longest, longest},
		"a longer name ends in a hash":               {longest + "b", strings.Repeat("a", 242) + "-mxg5pyru6t"},
		"what is cut off makes a difference":         {longest + "c", strings.Repeat("a", 242) + "-qnnbpazdzd"},
		"no dot or dash is left before that of ours": {strings.Repeat("a", 240) + "-.b" + longest, strings.Repeat("a", 240) + "-qwjbml7ubo"},
	} {
		t.Run(name, func(t *testing.T) {
			got := Fit(test.of)
			assert.Equal(t, test.want, got)
			assert.Empty(t, validation.IsDNS1123Subdomain(got))
		})
	}
}

func TestWithHash(t *testing.T) {
	one, other := WithHash("member-a-b-c", "a-b", "c"), WithHash("member-a-b-c", "a", "b-c")
	assert.NotEqual(t, one, other, "a-b/c is not a/b-c")
	assert.Regexp(t, `^member-a-b-c-[a-z2-7]{10}$`, one)
	assert.Equal(t, one, WithHash("member-a-b-c", "a-b", "c"), "the same each time")
}
