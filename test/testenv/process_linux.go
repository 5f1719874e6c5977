// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import "syscall"

// childAttributes makes the kernel kill a child when we die, whatever we die of.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
