// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Kubectl runs kubectl on a kubeconfig file with input and returns what it printed. The error has
// what it printed as errors. Nothing that an earlier run has discovered is used: CRDs come and go.
func Kubectl(ctx context.Context, kubeconfig, input string, args ...string) (stdout string, err error) {
	stdout, _, err = KubectlOf(ctx, "kubectl", kubeconfig, input, args...)
	return stdout, err
}

// KubectlOf is Kubectl with a program of ToolPath. It returns the warnings, too.
func KubectlOf(ctx context.Context, program, kubeconfig, input string, args ...string) (stdout, stderr string, err error) {
	path, err := ToolPath(program)
	if err != nil {
		return "", "", err
	}
	discovered, err := os.MkdirTemp("", "clusterpass-kubectl-")
	if err != nil {
		return "", "", err
	}
	defer func() { _ = os.RemoveAll(discovered) }() // a folder of caches under the system's own for temporary files
	cmd := exec.CommandContext(ctx, path, append([]string{"--kubeconfig=" + kubeconfig, "--cache-dir=" + discovered}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	// An editor that a test sets comes later, and wins.
	cmd.Env = append([]string{"KUBE_EDITOR=true"}, os.Environ()...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), errOut.String(), fmt.Errorf("%s %s: %w: %s%s", program, strings.Join(args, " "), err, errOut.String(), out.String())
	}
	return out.String(), errOut.String(), nil
}

// MustKubectl is Kubectl for what has to go well.
func MustKubectl(t testing.TB, kubeconfig, input string, args ...string) string {
	t.Helper()
	return Must[string](t)(Kubectl(t.Context(), kubeconfig, input, args...))
}
