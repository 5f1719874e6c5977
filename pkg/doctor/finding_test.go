// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPrint(t *testing.T) {
	var out strings.Builder
	require.NoError(t, Print(&out, []Finding{
		{Check: "clock", Verdict: OK, Message: "in step"},
		{Check: "apiservices", Verdict: OK, About: "APIService a", Message: "available"},
		{Check: "apiservices", Verdict: Fail, About: "APIService b", Message: "words\nof others", Mend: "Mend it: kubectl mend"},
		{Check: "apiservices", Verdict: Skip, Message: "you may not read this"},
		{Check: "health", Verdict: Warn, About: "ClusterProfile c", Message: "middling", Mend: "Look: kubectl look"},
		{Check: "mint", Verdict: Skip, Message: "not asked for"},
	}))
	assert.Equal(t, `ok    clock: in step
FAIL  apiservices: 1 FAIL, 1 ok, 1 skip
      FAIL  APIService b: words of others
            Mend it: kubectl mend
      skip  you may not read this
warn  health: ClusterProfile c: middling
            Look: kubectl look
skip  mint: not asked for
`, out.String())
}

func TestWorst(t *testing.T) {
	of := func(verdicts ...Verdict) []Finding {
		var all []Finding
		for _, v := range verdicts {
			all = append(all, Finding{Verdict: v})
		}
		return all
	}
	assert.Equal(t, Fail, Worst(of(OK, Fail, Warn)))
	assert.Equal(t, Warn, Worst(of(OK, Warn, Skip)))
	assert.Equal(t, OK, Worst(of(Skip, OK)), "the result is what was seen, and not what was skipped")
	assert.Equal(t, Skip, Worst(of(Skip)))
}

// The names of checks are unique.
func TestChecks_Names(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range checks {
		assert.False(t, seen[c.name], c.name)
		seen[c.name] = true
	}
}
