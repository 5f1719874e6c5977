// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/test/testenv"
)

// mention finds the plugin's commands, in text, blocks and tables.
var mention = regexp.MustCompile("kubectl clusterpass ([^`|#;&\n\"')]+)")

// TestPlugin_Commands looks for every command and flag of kubectl clusterpass that is written
// anywhere in the documentation and in the examples, also where it is not run.
func TestPlugin_Commands(t *testing.T) {
	root := testenv.Root(t)
	files := testenv.Must[[]string](t)(Files(root))
	for _, pattern := range []string{"artifacts/examples/*.yaml", "artifacts/examples/*/*.yaml", "artifacts/dashboards/*.yaml"} {
		for _, file := range testenv.Must[[]string](t)(filepath.Glob(filepath.Join(root, pattern))) {
			files = append(files, testenv.Must[string](t)(filepath.Rel(root, file)))
		}
	}
	plugin := cli.NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	plugin.InitDefaultCompletionCmd()
	found := 0
	for _, file := range files {
		content := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(root, file)))
		for i, line := range strings.Split(string(content), "\n") {
			for _, match := range mention.FindAllStringSubmatch(line, -1) {
				found++
				assert.NoError(t, exists(plugin, strings.Fields(match[1])), "%s:%d: %s", file, i+1, match[0])
			}
		}
	}
	assert.Greater(t, found, 20)
}

// exists says whether a program has a command, and that the flags in its arguments.
func exists(program *cobra.Command, args []string) error {
	command, rest, err := program.Find(args)
	if err != nil {
		return err
	}
	if command == program {
		return fmt.Errorf("there is no command %s", args[0])
	}
	for _, arg := range rest {
		name, _, _ := strings.Cut(arg, "=")
		long, isLong := strings.CutPrefix(name, "--")
		switch {
		case isLong && command.Flag(long) == nil:
			return fmt.Errorf("%s has no flag --%s", command.CommandPath(), long)
		case !isLong && len(name) == 2 && name[0] == '-' &&
			command.Flags().ShorthandLookup(name[1:]) == nil && command.InheritedFlags().ShorthandLookup(name[1:]) == nil:
			return fmt.Errorf("%s has no flag %s", command.CommandPath(), name)
		}
	}
	return nil
}
