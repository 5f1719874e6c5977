// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

func TestRead(t *testing.T) {
	blocks, err := parse("a.md", "words\n\n<!-- test: as alice -->\n```console\n$ one\n```\n\n   ```yaml\n   a: 1\n     b: 2\n   ```\n")
	require.NoError(t, err)
	assert.Equal(t, []Block{
		{File: "a.md", Line: 5, Language: "console", Test: "as alice", Lines: []string{"$ one"}},
		{File: "a.md", Line: 9, Language: "yaml", Lines: []string{"a: 1", "  b: 2"}},
	}, blocks)
	assert.Equal(t, "a.md:10", blocks[1].Place(1))

	_, err = parse("a.md", "```yaml\na: 1\n")
	assert.EqualError(t, err, "a.md:1: this block has no end")
}

// all returns every block of the documentation.
func all(t *testing.T) []Block {
	t.Helper()
	root := testenv.Root(t)
	var blocks []Block
	for _, file := range testenv.Must[[]string](t)(Files(root)) {
		blocks = append(blocks, testenv.Must[[]Block](t)(Read(root, file))...)
	}
	return blocks
}

// TestExamples compares what the documentation shows with the examples that users apply, letter for
// letter. The comment at the head of an example is its own.
func TestExamples(t *testing.T) {
	root := testenv.Root(t)
	compared := map[string]bool{}
	for _, block := range all(t) {
		example, ok := strings.CutPrefix(block.Test, "equals ")
		if !ok {
			continue
		}
		compared[example] = true
		content, err := os.ReadFile(filepath.Join(root, example))
		require.NoError(t, err, block.Place(0))
		lines := strings.SplitAfter(string(content), "\n")
		for strings.HasPrefix(lines[0], "#") {
			lines = lines[1:]
		}
		assert.Equal(t, strings.Join(lines, ""), block.Text(), "%s is not %s", block.Place(0), example)
	}
	assert.Contains(t, compared, "artifacts/examples/rbac/bravelion-viewer.yaml", "the Role of an ordinary user")
}

func TestBlock_Directive(t *testing.T) {
	d, err := Block{Test: "as alice; given GPUs on bravelion; with MEMBER=bravelion"}.Directive()
	require.NoError(t, err)
	assert.Equal(t, Directive{User: "alice", Given: "GPUs on bravelion", With: map[string]string{"MEMBER": "bravelion"}}, d)

	d, err = Block{Test: "not run: it builds images; that takes docker"}.Directive()
	require.NoError(t, err)
	assert.Equal(t, "it builds images; that takes docker", d.NotRun)

	d, err = Block{Test: "in TestUninstall"}.Directive()
	require.NoError(t, err)
	assert.Equal(t, "TestUninstall", d.In)

	for said, want := range map[string]string{
		"":               "a.md:3: nothing says who runs this block",
		"by alice":       `knows no "by alice"`,
		"with A=b":       "does not say who runs this block",
		"given a member": "does not say who runs this block",
	} {
		_, err := Block{File: "a.md", Line: 3, Test: said}.Directive()
		assert.ErrorContains(t, err, want, said)
	}
}

func TestBlock_Commands(t *testing.T) {
	block := Block{Lines: []string{"$ one # comment", "> more", "the answer", "$ two \\", "    --flag", "> three", "answer"}}
	assert.Equal(t, []Command{
		{0, "one # comment\nmore"}, {3, "two \\\n    --flag\nthree"},
	}, block.Commands())
}

// TestBlocks_Classified holds for the tests that run the blocks: test/e2e. What nobody runs is
// counted, so that it does not grow unseen.
func TestBlocks_Classified(t *testing.T) {
	const mostNotRun = 8
	notRun := 0
	for _, block := range all(t) {
		if block.Language == "text" {
			continue
		}
		d, err := block.Directive()
		if !assert.NoError(t, err) {
			continue
		}
		if !assert.Contains(t, []string{"console", "yaml"}, block.Language, "%s: a block is text, console or yaml", block.Place(0)) {
			continue
		}
		if d.NotRun != "" {
			notRun++
			t.Logf("%s is not run: %s", block.Place(0), d.NotRun)
		}
		if block.Language == "console" {
			assert.NotEmpty(t, block.Commands(), "%s: a command begins with $ and a space", block.Place(0))
		}
	}
	assert.LessOrEqual(t, notRun, mostNotRun, "blocks that nobody runs")
}
