// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/docs"
)

// documented returns the commands of the documentation that are for this test to run, in their
// order.
func documented(t *testing.T) []string {
	t.Helper()
	files, err := docs.Files(root)
	require.NoError(t, err)
	var commands []string
	for _, file := range files {
		blocks, err := docs.Read(root, file)
		require.NoError(t, err)
		for _, block := range blocks {
			if d, err := block.Directive(); err == nil && d.In == t.Name() {
				for _, command := range block.Commands() {
					commands = append(commands, command.Text)
				}
			}
		}
	}
	require.NotEmpty(t, commands, "no block says that %s runs it", t.Name())
	return commands
}

// TestDocs does what the README and docs say, letter for letter, as the user whom the text
// addresses. test/docs has what the comments above the blocks mean, and a test that no block is
// without one.
func TestDocs(t *testing.T) {
	files, err := docs.Files(root)
	require.NoError(t, err)
	r := newReader(t)
	t.Cleanup(func() { r.tidy(t) })
	for _, file := range files {
		blocks, err := docs.Read(root, file)
		require.NoError(t, err)
		for _, block := range blocks {
			if block.Language != "text" {
				t.Run(block.Place(0), func(t *testing.T) { r.follow(t, block) })
			}
		}
	}
}

// reader is somebody with a copy of the artifacts, who is at one time one user of the fleet and at
// another time another one.
type reader struct {
	// dir is where the reader types, home where kubectl and the plugin keep what is the reader's own.
	dir, home string
	// namespaces are those that the hub had before.
	namespaces string
	// abandoned is the UID of a grant that the reader lets go of. What it leaves on its member would
	// be removed by a sweep, whenever that is.
	abandoned string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{dir: t.TempDir(), home: t.TempDir(), namespaces: on(t, "hub", "get", "namespaces", "-o", "name")}
	for _, folder := range []string{"artifacts", "hack"} {
		require.NoError(t, os.CopyFS(filepath.Join(r.dir, folder), os.DirFS(filepath.Join(root, folder))))
	}
	copied := map[string]string{filepath.Join(root, "Makefile"): filepath.Join(r.dir, "Makefile")}
	for _, name := range []string{"hub", "bravelion", "smartfish", "alice"} {
		// What the reader merges into it is not the fleet's.
		copied[kubeconfig(name)] = filepath.Join(r.home, name+".yaml")
	}
	for from, to := range copied {
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to, content, 0o600))
	}
	return r
}

// kubeconfigs are those of a user, as $KUBECONFIG names them.
func (r *reader) kubeconfigs(user string) string {
	files := map[string][]string{"admin": {"hub", "bravelion", "smartfish"}, "alice": {"alice"}}[user]
	for i := range files {
		files[i] = filepath.Join(r.home, files[i]+".yaml")
	}
	return strings.Join(files, ":")
}

func (r *reader) follow(t *testing.T, block docs.Block) {
	t.Helper()
	d, err := block.Directive()
	require.NoError(t, err)
	if d.NotRun != "" {
		t.Skip(d.NotRun)
	}
	if d.In != "" {
		t.Skip(d.In + " runs it")
	}
	if d.Given != "" {
		require.Contains(t, givens, d.Given, "%s: this test can't make that", block.Place(0))
		givens[d.Given](t, r)
	}
	if d.Save != "" {
		require.NoError(t, os.WriteFile(filepath.Join(r.dir, d.Save), []byte(block.Text()), 0o600))
	}
	if block.Language == "console" {
		r.commands(t, block, d)
	}
}

// fill puts in what the reader has to, the longest name first.
func (r *reader) fill(text string, d docs.Directive) string {
	names := slices.SortedFunc(maps.Keys(d.With), func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		text = strings.ReplaceAll(text, name, d.With[name])
	}
	return text
}

// commands types a block's commands into one shell. Each says before it begins which one it is.
func (r *reader) commands(t *testing.T, block docs.Block, d docs.Directive) {
	t.Helper()
	var script strings.Builder
	all := block.Commands()
	for i, command := range all {
		text := r.fill(command.Text, d)
		if d.Make {
			// Nothing is made. The exit code is 1 where there is such a target, and 2 where there is none.
			text, _, _ = strings.Cut(text, "#")
			text = strings.Replace(text, "make ", "make --question ", 1) + "|| [[ $? == 1 ]]"
		}
		fmt.Fprintf(&script, "echo %d >at\n%s\n", i, text)
	}
	out, err := r.bash(t.Context(), d.User, script.String())
	at, readErr := os.ReadFile(filepath.Join(r.dir, "at"))
	require.NoError(t, readErr)
	var last int
	_, readErr = fmt.Sscan(string(at), &last)
	require.NoError(t, readErr)
	command := all[last]
	require.NoError(t, err, "%s: this command of the documentation does not work for %s:\n$ %s\n%s",
		block.Place(command.Line), cmp.Or(d.User, "anybody"), command.Text, out)
}

// bash runs a script in the reader's folder as a user. It ends at the first command that fails.
func (r *reader) bash(ctx context.Context, user, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-o", "errexit", "-o", "nounset", "-o", "pipefail", "-c", script)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(),
		"HOME="+r.home,
		"KUBECONFIG="+r.kubeconfigs(user),
		"KUBECACHEDIR="+filepath.Join(r.home, "kubectl-cache"),
		"XDG_CACHE_HOME="+filepath.Join(r.home, "cache"),
		"PATH="+strings.Join([]string{filepath.Join(root, "bin", "tools"), filepath.Join(root, "bin"), os.Getenv("PATH")}, ":"),
		"FLEET="+local)
	// What it has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tidy takes away what the reader has made, so that the next tests find the fleet as it was.
func (r *reader) tidy(t *testing.T) {
	t.Helper()
	// The test's own context has ended.
	ctx := context.Background()
	remove := func(cluster string, what ...string) {
		_, err := kubectl(ctx, kubeconfig(cluster), "", append([]string{"delete"}, what...)...)
		assert.NoError(t, err)
	}
	for _, kinds := range []string{"clustercredentialsets", "placements", "clusterscores"} {
		remove("hub", kinds, "--all", "-A", "--timeout=60s")
	}
	out, err := kubectl(ctx, kubeconfig("hub"), "", "get", "namespaces", "-o", "name")
	assert.NoError(t, err)
	for namespace := range strings.FieldsSeq(out) {
		if !strings.Contains(r.namespaces, namespace) {
			remove("hub", namespace, "--timeout=60s")
		}
	}
	for _, member := range members {
		remove(member, "nodes", "--all")
	}
	remove("bravelion", "role", "deployer", "-n", "default", "--ignore-not-found")
	remove("hub", "authtokengrants", "-n", "default", "--field-selector=spec.serviceAccount.name="+abandonedAccount)
	if r.abandoned != "" {
		remove("smartfish", "clusterrolebindings,serviceaccounts,secrets", "-A", "-l", "clusterpass.dev/grant-uid="+r.abandoned)
	}
	assert.NoError(t, healFleet(ctx))
}
