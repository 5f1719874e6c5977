// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"os"
	"strconv"
)

// Caller returns the process that client-go runs in, so that no other one ever has its name, or
// nothing when it is not client-go that runs us.
//
// A process ID alone is not enough. They are used again, and in each container kubectl may be 1: of
// that number nothing is said where the system does not tell more.
func Caller() string {
	if os.Getenv(ExecInfoEnv) == "" {
		return ""
	}
	parent := os.Getppid()
	if start, ok := processStart(parent); ok {
		return strconv.Itoa(parent) + " " + start
	}
	if parent <= 1 {
		return ""
	}
	return strconv.Itoa(parent)
}
