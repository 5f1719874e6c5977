// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// startField is the place of a process's start time, in clock ticks since boot, in /proc/PID/stat
// behind its name: the 22nd of proc(5), counted from the third.
const startField = 22 - 3

// processStart returns when a process was started, since which boot, and in which namespace its ID
// is one.
func processStart(pid int) (string, bool) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The name may have spaces and parentheses in it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= startField {
		return "", false
	}
	// Our own: it is the one that the ID is known in.
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", false
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", false
	}
	return strings.Join([]string{string(fields[startField]), namespace, strings.TrimSpace(string(boot))}, " "), true
}
