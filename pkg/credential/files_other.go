// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package credential

import (
	"context"
	"io/fs"
	"os"
)

// lockFile locks nothing here: of processes that start at once, several may ask the hub.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// openNoFollow opens a file for reading.
func openNoFollow(path string) (*os.File, error) { return os.Open(path) }

// ownedByUs is not known here: the user's folder for caches is closed to others by the system's
// defaults.
func ownedByUs(fs.FileInfo) bool { return true }

// ownerOnly is not known here: modes say nothing about who may read a file.
func ownerOnly(fs.FileInfo) bool { return true }
