// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package credential

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

// The cache is closed to others.
func TestCache_Modes(t *testing.T) {
	hub, dir := newFakeHub(t), filepath.Join(t.TempDir(), "clusterpass", "tokens")
	hub.get(t, dir, 1)
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Dir(dir): 0o700, entries(t, dir)[0]: 0o600} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), path)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, 2, "an entry and its lock")
}

func TestCache_UnusableEntries(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, path string)
		// unsafe says that the cache is left alone; else the entry is replaced.
		unsafe bool
	}{
		"one that others may read is replaced":  {spoil: chmod(0o640)},
		"one that others may write is replaced": {spoil: chmod(0o602)},
		"half a file is replaced":               {spoil: write(`{"version":2,"token":"token-1-for`)},
		"an empty file is replaced":             {spoil: write("")},
		"another version is replaced":           {spoil: write(`{"version":1,"token":"token-1-for-default/bravelion"}`)},
		"one without a token is replaced":       {spoil: write(`{"version":2,"expiration":"2030-01-01T00:00:00Z"}`)},
		"a link is left alone":                  {spoil: link, unsafe: true},
		"a folder is left alone":                {spoil: mkdir, unsafe: true},
		"another user's is left alone":          {spoil: chown, unsafe: true},
	} {
		t.Run(name, func(t *testing.T) {
			hub, dir := newFakeHub(t), cacheDir(t)
			hub.get(t, dir, 1)
			path := entries(t, dir)[0]
			test.spoil(t, path)
			info, err := os.Lstat(path)
			require.NoError(t, err)
			before := info.Mode()

			var log bytes.Buffer
			ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(10))))
			got, err := hub.source(t, dir, 2).Get(ctx, request(), nil)
			assert.NotContains(t, log.String(), "token-1-for")
			require.NoError(t, err)
			assert.Equal(t, second, got.Token)
			if test.unsafe {
				require.Len(t, hub.warnings, 1)
				assert.Contains(t, hub.warnings[0], dir)
				info, err := os.Lstat(path)
				require.NoError(t, err)
				assert.Equal(t, before, info.Mode(), "it was replaced")
				if content, err := os.ReadFile(path); err == nil {
					assert.NotContains(t, string(content), second)
				}
				return
			}
			assert.Equal(t, second, hub.get(t, dir, 3).Token, "the new one is not kept")
		})
	}
}

func TestCache_UnsafeFolders(t *testing.T) {
	for name, test := range map[string]struct {
		change func(t *testing.T, dir string)
		want   string
	}{
		"one that others may enter": {change: chmod(0o755), want: "chmod 700"},
		"a link":                    {change: link, want: "not a folder of yours"},
		"another user's":            {change: chown, want: "not a folder of yours"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "tokens")
			mkdir(t, dir)
			test.change(t, dir)
			_, err := openCache(dir)
			require.ErrorIs(t, err, errUnsafe)
			assert.ErrorContains(t, err, test.want)
		})
	}
}

func TestSource_GetUnsafeCache(t *testing.T) {
	for name, spoiling := range map[string][]func(t *testing.T, dir string){
		"a folder that can't be made":       {write("")},
		"one that others may enter":         {mkdir, chmod(0o777)},
		"a link":                            {mkdir, link},
		"another user's":                    {mkdir, chown},
		"a list of logins that is a link":   {mkdir, func(t *testing.T, dir string) { t.Helper(); mkdir(t, filepath.Join(dir, loginsName)) }},
		"a home without a folder of caches": nil,
	} {
		t.Run(name, func(t *testing.T) {
			hub := newServer(t)
			dir := filepath.Join(t.TempDir(), "tokens")
			if spoiling == nil {
				dir = ""
				t.Setenv("HOME", "")
				t.Setenv("XDG_CACHE_HOME", "")
			}
			for _, spoil := range spoiling {
				spoil(t, dir)
			}
			for range 2 {
				source, warnings := hub.source(t, Options{CacheDir: dir}, "alice")
				got, err := source.Get(t.Context(), request(), nil)
				require.NoError(t, err)
				assert.Equal(t, secretToken, got.Token)
				assert.Contains(t, warnings.String(), "Warning: ")
				assert.Contains(t, warnings.String(), "cache")
				assert.NotContains(t, warnings.String(), secretToken)
			}
			assert.Equal(t, 2, hub.mints())
			if dir != "" {
				assert.Empty(t, entries(t, dir), "a token was written")
			}
		})
	}
}

// Expired entries are removed.
func TestCache_ExpiredEntries(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	hub.get(t, dir, 1)
	expired := entries(t, dir)[0]
	abandoned := filepath.Join(dir, temporaryPrefix+"1")
	write(first)(t, abandoned)
	long := hub.clock.Now().Add(-time.Minute)
	require.NoError(t, os.Chtimes(abandoned, long, long))

	hub.pass(lifetime)
	r := request()
	r.ServiceAccountName = "other"
	_, err := hub.source(t, dir, 1).Get(t.Context(), r, nil)
	require.NoError(t, err)
	assert.NoFileExists(t, expired)
	assert.NoFileExists(t, abandoned)
	assert.Len(t, entries(t, dir), 1)
}

// An entry remembers the last processes alone.
func TestEntry_HandTo(t *testing.T) {
	var e entry
	for caller := range 3 * maxCallers {
		e.handTo(strconv.Itoa(caller))
		e.handTo(strconv.Itoa(caller))
	}
	e.handTo("")
	assert.Len(t, e.Callers, maxCallers)
	assert.Contains(t, e.Callers, strconv.Itoa(3*maxCallers-1))
	assert.NotContains(t, e.Callers, "")
	for caller := range 3 * maxCallers {
		next := entry{}
		next.forcedBy(strconv.Itoa(caller), &e)
		e = next
	}
	assert.Len(t, e.Forced, maxCallers)
	assert.Contains(t, e.Forced, strconv.Itoa(3*maxCallers-1))
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
