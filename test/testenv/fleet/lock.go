// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const lockPoll = 200 * time.Millisecond

// locked has do work on the directory of s when no other command does, and bounds both.
func locked(
	ctx context.Context, s settings, timeout time.Duration, out io.Writer, do func(ctx context.Context, report *progress) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	report := newProgress(out)
	unlock, err := lock(ctx, s, report)
	if err != nil {
		return err
	}
	defer unlock()
	return do(ctx, report)
}

// lock waits until no other command works on the same directory. The lock is released by unlock,
// and by the kernel if we die.
func lock(ctx context.Context, s settings, report *progress) (unlock func(), err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	told := false
	err = wait.PollUntilContextCancel(ctx, lockPoll, true, func(context.Context) (bool, error) {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			if !told {
				report.printf("waiting for another command on %s to end", s.dir)
				told = true
			}
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("locking %s: %w", s.dir, err)
	}
	return func() { _ = file.Close() }, nil
}
