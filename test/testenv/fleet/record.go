// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// stopGrace bounds how long a process has to end by itself once it was asked to.
	stopGrace = 15 * time.Second
	stopPoll  = 20 * time.Millisecond
)

// record is what is kept of a process that up started, in a file of its own, so that later runs
// find it again.
type record struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// StartTime tells the process from another that got its pid later, see processStart.
	StartTime string `json:"startTime"`
	// Fingerprint is that of the program that was started.
	Fingerprint string `json:"fingerprint"`
}

func recordPath(dir, name string) string {
	return filepath.Join(dir, name+".json")
}

// readRecord returns the record of a program, nil if there is none.
func readRecord(dir, name string) (*record, error) {
	data, err := os.ReadFile(recordPath(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("record of process %s: %w", name, err)
	}
	return r, nil
}

// readRecords returns all records in dir, in the order of their names.
func readRecords(dir string) ([]*record, error) {
	paths, err := filepath.Glob(recordPath(dir, "*"))
	if err != nil {
		return nil, err
	}
	var records []*record
	for _, path := range paths {
		name := filepath.Base(path)
		r, err := readRecord(dir, name[:len(name)-len(".json")])
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// write keeps the record in dir; a reader finds all of it or none.
func (r *record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp := recordPath(dir, r.Name) + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, recordPath(dir, r.Name))
}

func (r *record) remove(dir string) error {
	return os.Remove(recordPath(dir, r.Name))
}

// alive says whether the very process that was recorded still runs.
func (r *record) alive() bool {
	start, err := processStart(r.PID)
	return err == nil && start == r.StartTime
}

// stop asks the process to end, kills it after grace, and returns once it is gone. A process that
// merely got its pid is left alone.
func (r *record) stop(ctx context.Context, grace time.Duration) error {
	// The handle is taken before the start time is compared, so that on Linux, where it is a pidfd,
	// the signal cannot hit another process.
	process, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("process %d (%s): %w", r.PID, r.Name, err)
	}
	defer func() { _ = process.Release() }()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if !r.alive() {
			return nil
		}
		if err := process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("ending process %d (%s): %w", r.PID, r.Name, err)
		}
		if err := r.waitGone(ctx, grace); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("process %d (%s) does not end", r.PID, r.Name)
}

func (r *record) waitGone(ctx context.Context, timeout time.Duration) error {
	return wait.PollUntilContextTimeout(ctx, stopPoll, timeout, true, func(context.Context) (bool, error) {
		return !r.alive(), nil
	})
}
