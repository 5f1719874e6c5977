// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// Both print a line once they are what they say.
	sleeps  = "echo; exec sleep 60"
	ignores = "trap '' TERM; echo; exec sleep 60"
)

func TestRecord_Stop(t *testing.T) {
	tests := []struct {
		name, command string
		grace         time.Duration
	}{
		{name: "a process that ends when asked is not killed", command: sleeps, grace: time.Minute},
		{name: "a process that ignores being asked is killed", command: ignores, grace: 50 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := startRecorded(t, test.command)
			require.True(t, r.alive())
			require.NoError(t, r.stop(t.Context(), test.grace))
			require.False(t, r.alive())
		})
	}
}

func TestRecord_StopLeavesAlone(t *testing.T) {
	t.Run("a process that got the pid of a recorded one", func(t *testing.T) {
		running := startRecorded(t, sleeps)
		recycled := *running
		recycled.StartTime = "another time"
		require.False(t, recycled.alive())
		require.NoError(t, recycled.stop(t.Context(), time.Minute))
		require.True(t, running.alive())
	})
	t.Run("a process that has ended but was not reaped", func(t *testing.T) {
		r := startRecorded(t, sleeps)
		require.NoError(t, syscall.Kill(r.PID, syscall.SIGKILL))
		require.NoError(t, r.waitGone(t.Context(), time.Minute))
		require.NoError(t, r.stop(t.Context(), time.Minute))
	})
}

// startRecorded returns the record of a running shell command, which is reaped only after the test.
func startRecorded(t *testing.T, command string) *record {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	_, err = stdout.Read(make([]byte, 1))
	require.NoError(t, err)
	start, err := processStart(cmd.Process.Pid)
	require.NoError(t, err)
	return &record{Name: "child", PID: cmd.Process.Pid, StartTime: start}
}

func TestProcessStart(t *testing.T) {
	first, err := processStart(os.Getpid())
	require.NoError(t, err)
	second, err := processStart(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, first, second, "a process has one start time")

	parent, err := processStart(os.Getppid())
	require.NoError(t, err)
	require.NotEqual(t, parent, first)

	_, err = processStart(1 << 30)
	require.Error(t, err, "there is no such process")
}

func TestRecord_RoundTrip(t *testing.T) {
	dir := t.TempDir()
	none, err := readRecord(dir, "hub-etcd")
	require.NoError(t, err)
	require.Nil(t, none)

	want := &record{Name: "hub-etcd", PID: 42, StartTime: "boot 17", Fingerprint: "abc"}
	require.NoError(t, want.write(dir))
	got, err := readRecords(dir)
	require.NoError(t, err)
	require.Equal(t, []*record{want}, got)

	require.NoError(t, want.remove(dir))
	got, err = readRecords(dir)
	require.NoError(t, err)
	require.Empty(t, got)
}
