// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-clusterpass is the kubectl plugin of clusterpass: kubectl clusterpass.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/cli"

	clusterpasscli "clusterpass.dev/pkg/cli"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := clusterpasscli.NewCommand(genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr})
	cmd.SetContext(ctx)
	return cli.Run(cmd)
}
