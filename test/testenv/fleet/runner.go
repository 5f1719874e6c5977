// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"clusterpass.dev/test/testenv"
)

const (
	// startTimeout bounds the start of one program: seconds when alone, more while others start and
	// compilers run.
	startTimeout = 2 * time.Minute
	// answerTimeout bounds how long a running process may stay silent before it is replaced.
	answerTimeout = 10 * time.Second
)

// runner keeps programs running, detached from the process that started them.
type runner struct {
	// records is the directory with one record per program.
	records string
	report  *progress
	hashes  fileHashes
}

// ensureAll makes the programs run as they are described, and serve, each before the next.
// Processes that are right and serve are left alone. Those that are to be replaced end before any
// is started, the last program's first, while what they need still runs.
func (r *runner) ensureAll(ctx context.Context, programs ...testenv.Program) error {
	for _, program := range slices.Backward(programs) {
		if err := r.endChanged(ctx, program); err != nil {
			return err
		}
	}
	for _, program := range programs {
		if err := r.ensure(ctx, program); err != nil {
			return err
		}
	}
	return nil
}

// endChanged ends the program's process if it was started from another binary or with other
// arguments.
func (r *runner) endChanged(ctx context.Context, program testenv.Program) error {
	fingerprint, err := r.fingerprint(program)
	if err != nil {
		return err
	}
	old, err := readRecord(r.records, program.Name)
	if err != nil || old == nil || old.Fingerprint == fingerprint {
		return err
	}
	return r.end(ctx, old, "its program or arguments have changed")
}

// ensure starts the program unless it runs and serves.
func (r *runner) ensure(ctx context.Context, program testenv.Program) error {
	old, err := readRecord(r.records, program.Name)
	if err != nil {
		return err
	}
	if old != nil && old.alive() {
		if answers(ctx, program) {
			return nil
		}
		if err := r.end(ctx, old, "it does not answer"); err != nil {
			return err
		}
	}
	for _, port := range program.Ports {
		if err := testenv.PortFree(port); err != nil {
			return fmt.Errorf("port %d, for %s, is taken by a process that this fleet did not start (%w): "+
				"end that, or set %s to the first of %d other ports", port, program.Name, err, portBaseEnv, fleetPorts)
		}
	}
	return r.start(ctx, program)
}

// end ends a recorded process, if it is still that one.
func (r *runner) end(ctx context.Context, old *record, reason string) error {
	if old.alive() {
		r.report.printf("%s: ending process %d, %s", old.Name, old.PID, reason)
	}
	return old.stop(ctx, stopGrace)
}

// answers says whether a running program serves.
func answers(ctx context.Context, program testenv.Program) bool {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return program.WaitReady(ctx, nil) == nil
}

// start starts the program in a session of its own, so that neither our end nor a terminal's ends
// it, records it and waits until it serves.
func (r *runner) start(ctx context.Context, program testenv.Program) error {
	begin := time.Now()
	fingerprint, err := r.fingerprint(program)
	if err != nil {
		return err
	}
	cmd, log, err := program.Command()
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", program.Name, err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	if err := r.record(program.Name, cmd.Process.Pid, fingerprint); err != nil {
		_ = cmd.Process.Kill()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := program.WaitReady(ctx, exited); err != nil {
		return err
	}
	r.report.printf("%s: process %d serves after %.1f s", program.Name, cmd.Process.Pid, time.Since(begin).Seconds())
	return nil
}

func (r *runner) record(name string, pid int, fingerprint string) error {
	start, err := processStart(pid)
	if err != nil {
		return fmt.Errorf("start time of %s: %w", name, err)
	}
	return (&record{Name: name, PID: pid, StartTime: start, Fingerprint: fingerprint}).write(r.records)
}

// fingerprint returns a hash of all that a process is made of: the binary, its arguments and the
// files it reads once.
func (r *runner) fingerprint(program testenv.Program) (string, error) {
	hash := sha256.New()
	for _, path := range append([]string{program.Path}, program.Inputs...) {
		content, err := r.hashes.of(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(hash, content)
	}
	for _, arg := range program.Args {
		fmt.Fprintf(hash, "%q\n", arg)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// fileHashes remembers hashes of files: the clusters run the same binaries, of a hundred megabytes
// each. Contents are compared because go build touches a binary that it leaves as it is.
type fileHashes struct {
	mu    sync.Mutex
	known map[string]string
}

func (f *fileHashes) of(path string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if hash, ok := f.known[path]; ok {
		return hash, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	if f.known == nil {
		f.known = map[string]string{}
	}
	f.known[path] = hex.EncodeToString(hash.Sum(nil))
	return f.known[path], nil
}
