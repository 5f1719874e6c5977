// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

func TestBrokenLinks(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "a.md"), []byte(
		"# The `a` page, and more\n\n[here](#the-a-page-and-more) [there](docs/b.md#one) [site](https://example.com/x)\n"+
			"[nowhere](#two) [gone](docs/c.md)\n\n```text\n[code](none.md)\n```\n"), 0o600))
	require.NoError(t, os.Mkdir(filepath.Join(root, "docs"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root, "docs", "b.md"), []byte("# One\n\n[back](../a.md) [other](../a.md#one)\n"), 0o600))
	broken := func(page string) []string { return testenv.Must[[]string](t)(BrokenLinks(root, page)) }
	assert.ElementsMatch(t, []string{"a.md:4: #two", "a.md:4: docs/c.md"}, broken("a.md"))
	assert.ElementsMatch(t, []string{"docs/b.md:3: ../a.md#one"}, broken("docs/b.md"))
}

// pages returns the source tree, and the pages of its documentation.
func pages(t *testing.T) (root string, all []string) {
	t.Helper()
	root = testenv.Root(t)
	return root, testenv.Must[[]string](t)(Pages(root))
}

func TestPages_Links(t *testing.T) {
	root, all := pages(t)
	for _, page := range all {
		assert.Empty(t, testenv.Must[[]string](t)(BrokenLinks(root, page)))
	}
}

// secondSentence finds where a line goes on after the end of a sentence.
var secondSentence = regexp.MustCompile("[a-z)`*][.!?] +[A-Z`]")

// TestPages_Lines holds for all but tables, so that diffs can be read.
func TestPages_Lines(t *testing.T) {
	root, all := pages(t)
	for _, page := range all {
		for number, line := range testenv.Must[map[int]string](t)(prose(root, page)) {
			if strings.HasPrefix(strings.TrimSpace(line), "|") || strings.Contains(line, "<!--") {
				continue
			}
			assert.NotRegexp(t, secondSentence, line, "%s:%d: a line has one sentence", page, number)
		}
	}
}

// TestReadme_Length keeps the README what is read in one sitting.
func TestReadme_Length(t *testing.T) {
	root, _ := pages(t)
	content := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(root, "README.md")))
	assert.LessOrEqual(t, strings.Count(string(content), "\n"), 200)
}
