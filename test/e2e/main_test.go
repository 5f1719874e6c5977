// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e tests the local fleet as its user does: with kubectl, kubeconfigs and bin/fleet
// alone. The tests run in the order in which they stand, and put right what they break. make
// test-e2e runs them, on a fleet of their own.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

const (
	localDirEnv = "CLUSTERPASS_LOCAL_DIR"
	// commandTimeout bounds one command. It is far above what any takes.
	commandTimeout = 3 * time.Minute
)

// root is the source tree, local the directory of the fleet.
var root, local string

func TestMain(m *testing.M) {
	var err error
	if root, err = testenv.ModuleRoot(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	local = os.Getenv(localDirEnv)
	if local == "" {
		fmt.Fprintf(os.Stderr, "%s is not set: these tests kill processes of the fleet in it; "+
			"make test-e2e runs them on one of their own\n", localDirEnv)
		os.Exit(1)
	}
	if !filepath.IsAbs(local) {
		local = filepath.Join(root, local)
	}
	os.Exit(m.Run())
}

func kubeconfig(cluster string) string { return filepath.Join(local, "kubeconfig", cluster+".yaml") }

// kubectl runs kubectl on a kubeconfig file with input and returns what it printed.
func kubectl(ctx context.Context, file, input string, args ...string) (string, error) {
	args = append([]string{"--kubeconfig=" + file, "--cache-dir=" + filepath.Join(local, "kubectl-cache")}, args...)
	return run(ctx, input, filepath.Join(root, "bin", "tools", "kubectl"), args...)
}

// run runs a program to its end and returns what it printed. The error has what it printed as
// errors.
func run(ctx context.Context, input, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", filepath.Base(program), err, errOut.String())
	}
	return out.String(), nil
}

// mustKubectl is kubectl for a command that must succeed.
func mustKubectl(t *testing.T, file, input string, args ...string) string {
	t.Helper()
	out, err := kubectl(t.Context(), file, input, args...)
	require.NoError(t, err)
	return out
}

// on is mustKubectl for the admin of a cluster.
func on(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	return mustKubectl(t, kubeconfig(cluster), "", args...)
}

// fleetUp heals the fleet, and has its members allow what they allow at first.
func fleetUp(t *testing.T) {
	t.Helper()
	require.NoError(t, healFleet(t.Context()))
}

func healFleet(ctx context.Context) error {
	for _, verb := range []string{"up", "join"} {
		if _, err := run(ctx, "", filepath.Join(root, "bin", "fleet"), verb); err != nil {
			return err
		}
	}
	return nil
}

// process returns a process of the fleet, such as smartfish-kube-apiserver.
func process(t *testing.T, name string) *os.Process {
	t.Helper()
	data := testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(local, "run", name+".json")))
	var record struct {
		PID int `json:"pid"`
	}
	require.NoError(t, json.Unmarshal(data, &record))
	found, err := os.FindProcess(record.PID)
	require.NoError(t, err)
	return found
}
