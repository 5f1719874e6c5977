// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

const (
	// Positions in /proc/PID/stat behind the program's name, which is in parentheses and may hold
	// anything: see proc_pid_stat(5), where they are fields 3, 20 and 22.
	statState     = 0
	statThreads   = 17
	statStartTime = 19
)

// processStart returns when a process was started: the boot of the machine and the clock ticks
// since. No two processes with the same pid have the same. It fails if the process is gone or only
// waits to be reaped.
func processStart(pid int) (string, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) <= statStartTime {
		return "", fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	// A process is a zombie as soon as its first thread has ended; its ports are free only when the
	// others have, too.
	if state := fields[statState]; state == "X" || state == "Z" && fields[statThreads] == "1" {
		return "", fmt.Errorf("process %d has ended", pid)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(boot)) + " " + fields[statStartTime], nil
}
