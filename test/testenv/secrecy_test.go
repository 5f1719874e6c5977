// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFindTokens(t *testing.T) {
	token := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrIn0." + strings.Repeat("aB3-_", 20)
	encoded := base64.StdEncoding.EncodeToString([]byte(`{"token":"` + token + `"}`))
	for name, test := range map[string]struct{ content, want string }{
		"a log without a token":                          {"I1126 GET /api/v1 200 " + strings.Repeat("x", 200), ""},
		"the claims alone are no token":                  {"claims eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ3b3JrIn0. end", ""},
		"the beginning of a signature is no token":       {"cut " + token[:len(token)-1], ""},
		"a token in a line":                              {"Bearer " + token + "\n", "plain"},
		"a token inside of a longer word":                {"xyz" + token + "xyz", "plain"},
		"a token in base64":                              {"data: " + encoded + "\n", "base64"},
		"a token in base64 that begins one byte later":   {base64.StdEncoding.EncodeToString([]byte("x" + token)), "base64"},
		"a token in base64 that begins two bytes later":  {base64.StdEncoding.EncodeToString([]byte("xy" + token)), "base64"},
		"a token between bytes that are not text at all": {"\xff\x00" + token + "\xff", "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(file, []byte(test.content), 0o600))
			found, err := FindTokens([]string{token}, []string{file})
			require.NoError(t, err)
			if test.want == "" {
				assert.Empty(t, found)
				return
			}
			assert.Equal(t, []string{file + " holds a token, " + test.want}, found)
		})
	}
}
