// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

// releaseBefore is the last commit of the release before: it serves the inventory in v1alpha1
// alone. A release that changes what is stored sets another one.
const releaseBefore = "04faa9a388c34e76d062108e586937e3164dfd86"

// serverOf returns the path of the clusterpass-apiserver of a commit of this repository, which it
// builds once, into bin/releases. It skips the test if the clone does not have the commit.
func serverOf(t *testing.T, commit string) string {
	t.Helper()
	root := testenv.Must[string](t)(testenv.ModuleRoot())
	path := filepath.Join(root, "bin", "releases", commit, "clusterpass-apiserver")
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if out, err := run(t.Context(), root, "git", "cat-file", "-e", commit+"^{commit}"); err != nil {
		t.Skipf("SKIPPED: commit %s, the release before, is not here: git fetch --unshallow gets it: %v: %s", commit, err, out)
	}
	source := t.TempDir()
	out, err := run(t.Context(), root, "sh", "-c", `git archive "$0" | tar -x -C "$1"`, commit, source)
	require.NoError(t, err, out)
	flags, err := run(t.Context(), root, "hack/version-ldflags.sh")
	require.NoError(t, err, flags)
	built := filepath.Join(source, "built")
	out, err = run(t.Context(), source,
		"go", "build", "-trimpath", "-ldflags", strings.TrimSpace(flags), "-o", built, "./cmd/clusterpass-apiserver")
	require.NoError(t, err, out)
	// It appears at once or not at all.
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	out, err = run(t.Context(), source, "cp", built, temporary)
	require.NoError(t, err, out)
	require.NoError(t, os.Rename(temporary, path))
	return path
}

// run runs a program in dir and returns what it prints.
func run(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
