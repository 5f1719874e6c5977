// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// processStart returns when a process was started.
func processStart(pid int) (string, bool) {
	process, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "", false
	}
	start := process.Proc.P_starttime
	return fmt.Sprintf("%d.%06d", start.Sec, start.Usec), true
}
