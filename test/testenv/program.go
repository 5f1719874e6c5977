// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
)

const (
	readyPoll = 50 * time.Millisecond
	// readyTimeout bounds one question of whether a program serves.
	readyTimeout = 5 * time.Second
	// logTail bounds in bytes what an error quotes from the end of a program's log.
	logTail = 2000
)

// Program is one process to run: how to start it and how to know that it serves.
type Program struct {
	// Name is unique among the programs run together, such as hub-etcd.
	Name string
	Path string
	Args []string
	// Ports are those it listens on at 127.0.0.1.
	Ports []int
	// Log is the file for what it prints.
	Log string
	// Inputs are files that it reads once, when it starts.
	Inputs []string
	// Ready returns nil once the program serves, or the reason why it does not.
	Ready func(context.Context) error
}

// Command returns the command that runs the program, not started, and its open log, which the
// caller closes after starting. The log of the run before stays next to it with the suffix .1.
func (p Program) Command() (*exec.Cmd, io.Closer, error) {
	if err := os.MkdirAll(filepath.Dir(p.Log), 0o700); err != nil {
		return nil, nil, err
	}
	if err := os.Rename(p.Log, p.Log+".1"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, nil, err
	}
	// Not CommandContext: the process outlives the call that starts it.
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Stdout, cmd.Stderr = log, log
	return cmd, log, nil
}

// WaitReady waits until the program serves. It fails when ctx ends or when exited is closed before
// that; the error then has the last reason and the end of the log.
func (p Program) WaitReady(ctx context.Context, exited <-chan struct{}) error {
	err := poll(ctx, p.Name+" is not ready", func(ctx context.Context) (reason, err error) {
		select {
		case <-exited:
			return nil, errors.New("it exited")
		default:
		}
		return p.Ready(ctx), nil
	})
	if err != nil {
		return fmt.Errorf("%w; the end of %s:\n%s", err, p.Log, tail(p.Log))
	}
	return nil
}

// poll calls check until it returns neither a reason to go on waiting nor an error, which ends the
// wait. What it returns itself begins with words, and has the last reason.
func poll(ctx context.Context, words string, check func(ctx context.Context) (reason, err error)) error {
	last := errors.New("it was not asked yet")
	err := wait.PollUntilContextCancel(ctx, readyPoll, true, func(ctx context.Context) (bool, error) {
		reason, err := check(ctx)
		if err == nil {
			last = reason
		}
		return reason == nil, err
	})
	if err != nil {
		return fmt.Errorf("%s: %w (%w)", words, err, last)
	}
	return nil
}

// tail returns the end of a log, or why it cannot be read.
func tail(path string) []byte {
	data, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	if len(data) <= logTail {
		return data
	}
	data = data[len(data)-logTail:]
	return data[bytes.IndexByte(data, '\n')+1:]
}

// httpReady returns a Ready that wants status 200 from path.
func httpReady(config *rest.Config, path string) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, config.Host+path, nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", path, response.Status)
		}
		return nil
	}
}
