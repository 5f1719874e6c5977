// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testenv

import "syscall"

// childAttributes is all default here: only Linux has a signal for the death of the parent, so that
// a killed test leaves its children behind.
func childAttributes() *syscall.SysProcAttr {
	return nil
}
