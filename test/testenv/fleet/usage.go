// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	verbUp      = "up"
	verbStart   = "start"
	verbJoin    = "join"
	verbStop    = "stop"
	verbReplace = "replace"
	verbDown    = "down"
	verbStatus  = "status"
	verbExports = "exports"
)

// What the program ends with.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `fleet runs the local fleet: a hub, the members bravelion and smartfish, clusterpass-apiserver and
clusterpass-controller-manager, detached, on 127.0.0.1.

Usage: fleet COMMAND

  up               start what does not run, join the members that are not, print how to use it
  start            the same, but join no members
  join             have the members allow what all examples need, also where they are joined on other terms
  stop MEMBER      end that member, to see what happens then; start brings it back
  replace MEMBER   end that member for good, and start a new cluster of its name
  down             end what up started; data stays
  status           list the processes
  exports          print the shell lines to use the fleet

Environment:

  CLUSTERPASS_PORT_BASE   the first of the 34 ports it uses (18400)
  CLUSTERPASS_LOCAL_DIR   the directory it keeps everything in, relative to the source tree (.local)
  CLUSTERPASS_KUEUE       not empty: with Kueue on each cluster; placement: which Placements tell where Jobs go

Exit codes: 0 it is done; 1 it failed, or not all processes serve (status); 2 the arguments are wrong.
`

// usageError is about arguments that mean nothing.
type usageError string

func (e usageError) Error() string { return string(e) }

// asksForHelp says whether the user wants to read usage.
func asksForHelp(args []string) bool {
	return len(args) == 1 && args[0] == "help" || slices.Contains(args, "-h") || slices.Contains(args, "--help")
}

// checkArgs returns a usageError unless args are a command, and a member where that takes one.
func checkArgs(args []string) error {
	if len(args) == 0 {
		return usageError("which command?")
	}
	switch command := args[0]; command {
	case verbUp, verbStart, verbJoin, verbDown, verbStatus, verbExports:
		if len(args) > 1 {
			return usageError(fmt.Sprintf("%s takes no arguments; got %q", command, args[1:]))
		}
	case verbStop, verbReplace:
		if len(args) != 2 || !slices.Contains(memberNames, args[1]) {
			return usageError(fmt.Sprintf("%s takes one of the members %s; got %q", command, strings.Join(memberNames, ", "), args[1:]))
		}
	default:
		return usageError(fmt.Sprintf("there is no command %q", command))
	}
	return nil
}

// tell prints what went wrong, for wrong arguments with usage, and returns what the program ends
// with.
func tell(err error, out io.Writer) int {
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(out, "error:", err)
	if _, wrong := errors.AsType[usageError](err); !wrong {
		return exitFailed
	}
	fmt.Fprint(out, "\n", usage)
	return exitUsage
}
