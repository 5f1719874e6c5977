// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package credential

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func TestTheCacheIsClosedToOthers(t *testing.T) {
	hub, dir := newFakeHub(t), filepath.Join(t.TempDir(), "clusterpass", "tokens")
	_, err := hub.source(t, dir, 1).Get(t.Context(), request(), nil)
	require.NoError(t, err)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, entries(t, dir)[0]: 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), path)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 2, "an entry and its lock")
}

func TestEntriesThatCanNotBeUsed(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, path string)
		// refused says that an error is wanted; else the entry is replaced.
		refused bool
	}{
		{name: "one that others may read is replaced", spoil: chmod(0o640)},
		{name: "one that others may write is replaced", spoil: chmod(0o602)},
		{name: "half a file is replaced", spoil: write(`{"version":1,"token":"token-1-for`)},
		{name: "an empty file is replaced", spoil: write("")},
		{name: "another version is replaced", spoil: write(`{"version":2,"token":"token-1-for-default/bravelion"}`)},
		{name: "one without a token is replaced", spoil: write(`{"version":1,"expiration":"2030-01-01T00:00:00Z"}`)},
		{name: "a link is refused", spoil: link, refused: true},
		{name: "a folder is refused", spoil: mkdir, refused: true},
		{name: "another user's is refused", spoil: chown, refused: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			hub, dir := newFakeHub(t), t.TempDir()
			require.NoError(t, secure(dir))
			_, err := hub.source(t, dir, 1).Get(t.Context(), request(), nil)
			require.NoError(t, err)
			test.spoil(t, entries(t, dir)[0])

			var log bytes.Buffer
			ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(10))))
			got, err := hub.source(t, dir, 2).Get(ctx, request(), nil)
			assert.NotContains(t, log.String(), "token-1-for")
			if test.refused {
				require.ErrorIs(t, err, errUnsafe)
				assert.ErrorContains(t, err, dir)
				assert.NotContains(t, err.Error(), "token-1-for")
				assert.Equal(t, 1, hub.asked)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, second, got.Token)
			got, err = hub.source(t, dir, 3).Get(ctx, request(), nil)
			require.NoError(t, err)
			assert.Equal(t, second, got.Token, "the new one is not kept")
		})
	}
}

func TestFoldersThatTokensAreNotPutInto(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		want   string
	}{
		{name: "one that others may enter", change: chmod(0o755), want: "chmod 700"},
		{name: "a link", change: link, want: "not a folder of yours"},
		{name: "another user's", change: chown, want: "not a folder of yours"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tokens")
			mkdir(t, dir)
			test.change(t, dir)
			_, err := openCache(t.Context(), dir)
			require.ErrorIs(t, err, errUnsafe)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestAFolderThatCanNotBeMadeIsNoObstacle(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write("")(t, file)
	hub := newFakeHub(t)
	got, err := hub.source(t, filepath.Join(file, "tokens"), 1).Get(t.Context(), request(), nil)
	require.NoError(t, err)
	assert.Equal(t, first, got.Token)
}

func TestExpiredEntriesAreRemoved(t *testing.T) {
	hub, dir := newFakeHub(t), t.TempDir()
	require.NoError(t, secure(dir))
	_, err := hub.source(t, dir, 1).Get(t.Context(), request(), nil)
	require.NoError(t, err)
	expired := entries(t, dir)[0]
	abandoned := filepath.Join(dir, temporaryPrefix+"1")
	write(first)(t, abandoned)
	long := hub.clock.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(abandoned, long, long))

	hub.pass(lifetime)
	r := request()
	r.ServiceAccountName = "other"
	_, err = hub.source(t, dir, 1).Get(t.Context(), r, nil)
	require.NoError(t, err)
	assert.NoFileExists(t, expired)
	assert.NoFileExists(t, abandoned)
	assert.Len(t, entries(t, dir), 1)
}

func TestAnEntryRemembersTheLastProcessesAlone(t *testing.T) {
	var e entry
	for caller := range 3 * maxCallers {
		e.handTo(caller)
		e.handTo(caller)
	}
	assert.Len(t, e.Callers, maxCallers)
	assert.Contains(t, e.Callers, 3*maxCallers-1)
	assert.NotContains(t, e.Callers, 0)
}

func write(content string) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
}

func chmod(mode os.FileMode) func(t *testing.T, path string) {
	return func(t *testing.T, path string) {
		t.Helper()
		require.NoError(t, os.Chmod(path, mode))
	}
}

// link puts a link in place of what is at path, to that.
func link(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.Rename(path, path+".real"))
	require.NoError(t, os.Symlink(path+".real", path))
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(path))
	require.NoError(t, os.Mkdir(path, 0o700))
}

func chown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	require.NoError(t, os.Chown(path, 12345, -1))
}
