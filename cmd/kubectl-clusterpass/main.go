// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-clusterpass is the kubectl plugin of clusterpass: kubectl clusterpass.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"

	clusterpasscli "clusterpass.dev/pkg/cli"
	"clusterpass.dev/pkg/words"
)

func main() {
	os.Exit(run())
}

func run() int {
	// What is interrupted ends in order: doctor --mint leaves no grant behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Names, conditions and errors contain text from members and tenants.
	out, errOut := words.NewWriter(os.Stdout), words.NewWriter(os.Stderr)
	cmd := clusterpasscli.NewCommand(genericiooptions.IOStreams{In: os.Stdin, Out: out, ErrOut: errOut})
	cmd.SetContext(ctx)
	// Errors are printed for a user at a terminal, and not in the format of a log.
	if err := cli.RunNoErrOutput(cmd); err != nil {
		fmt.Fprintln(errOut, "error:", err)
		return 1
	}
	return 0
}
