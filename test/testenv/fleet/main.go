// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command fleet runs the local fleet: a hub, two members, clusterpass-apiserver and clusterpass-controller-manager,
// detached, on 127.0.0.1.
//
//	fleet up               start what does not run, join the members with the kubectl plugin, let the user alice look into
//	                       bravelion (artifacts/examples/rbac/bravelion-viewer.yaml), print how to use it
//	fleet start            the same, but join no members
//	fleet stop MEMBER      end that member, to see what happens then; start brings it back
//	fleet replace MEMBER   end that member for good, and start a new cluster of its name, with nothing but its address in common
//	fleet down             end what up started; data stays
//	fleet status           list the processes; fails unless all serve
//	fleet exports          print the shell lines to use the fleet
//
// CLUSTERPASS_PORT_BASE (default 18400) is the first of the 34 ports it uses, CLUSTERPASS_LOCAL_DIR (default .local)
// the directory it keeps everything in, relative to the source tree. Two fleets need two of each.
//
// With CLUSTERPASS_KUEUE not empty, Kueue runs on each cluster, and on each member something that plays the kubelet
// for Jobs. They use eight of the 34 ports, and stay part of the fleet until it is down. CLUSTERPASS_KUEUE=placement leaves it to
// the controller manager which clusters Workloads are nominated for, once artifacts/deploy/multikueue-dispatcher is applied.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"clusterpass.dev/test/testenv"
)

const (
	verbs       = "one of up, start, stop MEMBER, replace MEMBER, down, status, exports"
	verbStop    = "stop"
	verbReplace = "replace"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	// What up starts in place of a kubelet is this program, too.
	if len(args) == 3 && args[0] == testenv.KubeletVerb {
		return playKubelet(ctx, args[1], args[2])
	}
	if len(args) != 1 && (len(args) != 2 || args[0] != verbStop && args[0] != verbReplace) {
		return fmt.Errorf("want %s; got %q", verbs, args)
	}
	settings, err := settingsFromEnv()
	if err != nil {
		return err
	}
	switch args[0] {
	case "up":
		return up(ctx, settings, true, out)
	case "start":
		return up(ctx, settings, false, out)
	case verbStop:
		return stopMember(ctx, settings, args[1:], out)
	case verbReplace:
		return replaceMember(ctx, settings, args[1:], out)
	case "down":
		return down(ctx, settings, out)
	case "status":
		return status(ctx, settings, out)
	case "exports":
		return writeExports(settings, out)
	default:
		return fmt.Errorf("want %s; got %q", verbs, args[0])
	}
}
