// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"clusterpass.dev/test/testenv"
)

const (
	syncProbes    = 200
	syncProbeSize = 4096
)

// machine is what the figures were measured on.
type machine struct {
	Cores  int    `json:"cores"`
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
	Kernel string `json:"kernel"`
	// Load is the load average of the last minute before the run: above about 0.5, others had a part
	// in the figures.
	Load string `json:"load"`
	// Fsync is the median time to write 4 KiB to disk where all data is, in milliseconds: each write
	// to an etcd waits for one or more.
	Fsync float64 `json:"fsyncMilliseconds"`
	// Versions are what the programs say of themselves.
	Versions []string `json:"versions"`
}

func describeMachine(ctx context.Context, dir string) (machine, error) {
	m := machine{
		Cores:  runtime.NumCPU(),
		CPU:    procField("/proc/cpuinfo", "model name"),
		Memory: procField("/proc/meminfo", "MemTotal"),
		Kernel: procWord("/proc/sys/kernel/osrelease"),
		Load:   procWord("/proc/loadavg"),
	}
	var err error
	if m.Fsync, err = syncLatency(dir); err != nil {
		return machine{}, fmt.Errorf("fsync: %w", err)
	}
	m.Versions, err = versions(ctx)
	return m, err
}

// procField returns the value of the first line with that name in a file of /proc, or "unknown".
func procField(path, name string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(data)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

const unknown = "unknown"

// procWord returns the first word of a file of /proc, or "unknown".
func procWord(path string) string {
	data, err := os.ReadFile(path)
	words := strings.Fields(string(data))
	if err != nil || len(words) == 0 {
		return unknown
	}
	return words[0]
}

// syncLatency returns the median time of writing and syncing a block to a file in dir, in
// milliseconds.
func syncLatency(dir string) (float64, error) {
	file, err := os.CreateTemp(dir, "sync-")
	if err != nil {
		return 0, err
	}
	defer func() {
		file.Close()
		_ = os.Remove(file.Name()) // a block left among temporary files harms nobody
	}()
	latencies := make([]float64, syncProbes)
	for i := range latencies {
		begin := time.Now()
		if _, err := file.Write(make([]byte, syncProbeSize)); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		latencies[i] = milliseconds(time.Since(begin))
	}
	slices.Sort(latencies)
	return quantile(latencies, 0.5), nil
}

// versions returns what the measured programs, and the Go that built this one, say of themselves.
func versions(ctx context.Context) ([]string, error) {
	server, err := testenv.ServerPath()
	if err != nil {
		return nil, err
	}
	paths := []string{server}
	for _, tool := range []string{"kube-apiserver", "etcd"} {
		path, err := testenv.ToolPath(tool)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	all := []string{"bench " + runtime.Version()}
	for _, path := range paths {
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			return nil, fmt.Errorf("%s --version: %w", path, err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		// Some say "Kubernetes v1.2.3", some "etcd Version: 1.2.3": the last word is the version.
		words := strings.Fields(line)
		if len(words) == 0 {
			return nil, fmt.Errorf("%s --version printed nothing", path)
		}
		all = append(all, filepath.Base(path)+" "+words[len(words)-1])
	}
	return all, nil
}
