// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"clusterpass.dev/test/testenv"
)

// TestSecrecy_Logs runs last: it looks for every token that any test here has got in what both
// programs have printed, at the highest verbosity.
func TestSecrecy_Logs(t *testing.T) {
	if len(shared.tokens) == 0 {
		t.Skip("no tokens were minted")
	}
	assert.Empty(t, testenv.Must[[]string](t)(testenv.FindTokens(shared.tokens, []string{shared.Server.Log(), shared.Manager.Log()})))
}
