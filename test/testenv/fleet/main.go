// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fleet runs the local fleet: a hub, two members, clusterpass-apiserver and
// clusterpass-controller-manager, detached, on 127.0.0.1. fleet -h says what it does, and usage.go
// has it. What up starts lets the user alice look into bravelion
// (artifacts/examples/rbac/bravelion-viewer.yaml); two fleets need two of each variable.
//
// With CLUSTERPASS_KUEUE not empty, Kueue runs on each cluster, and on each member something that
// plays the kubelet for Jobs. They use eight of the 34 ports, and stay part of the fleet until it
// is down. CLUSTERPASS_KUEUE=placement leaves it to the controller manager which clusters Workloads
// are nominated for, once artifacts/deploy/multikueue-dispatcher is applied.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"clusterpass.dev/test/testenv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	os.Exit(tell(err, os.Stderr))
}

func run(ctx context.Context, args []string, out io.Writer) error {
	// What up starts in place of a kubelet is this program, too.
	if len(args) == 3 && args[0] == testenv.KubeletVerb {
		return playKubelet(ctx, args[1], args[2])
	}
	if asksForHelp(args) {
		_, err := io.WriteString(out, usage)
		return err
	}
	if err := checkArgs(args); err != nil {
		return err
	}
	settings, err := settingsFromEnv()
	if err != nil {
		return err
	}
	switch args[0] {
	case verbUp:
		return up(ctx, settings, true, out)
	case verbStart:
		return up(ctx, settings, false, out)
	case verbJoin:
		return joinAgain(ctx, settings, out)
	case verbStop:
		return stopMember(ctx, settings, args[1], out)
	case verbReplace:
		return replaceMember(ctx, settings, args[1], out)
	case verbDown:
		return down(ctx, settings, out)
	case verbStatus:
		return status(ctx, settings, out)
	default: // verbExports: nothing else is let through
		return writeExports(settings, out)
	}
}
