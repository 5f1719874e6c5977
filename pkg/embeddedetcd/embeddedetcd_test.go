// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// startTimeout is far above what a start takes, which is a fraction of a second.
const startTimeout = time.Minute

// newDir returns a folder whose path leaves room for the socket: that of t.TempDir holds the name
// of the test.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "etcd-") //nolint:usetesting // See above.
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return filepath.Join(dir, "e")
}

// start runs an etcd until the test ends, if it is not closed before.
func start(t *testing.T, dir string) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	server, err := Start(ctx, dir)
	require.NoError(t, err)
	return server
}

func client(t *testing.T, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: startTimeout})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func put(t *testing.T, server *Server, key, value string) {
	t.Helper()
	_, err := client(t, server.Endpoint()).Put(t.Context(), key, value)
	require.NoError(t, err)
}

func get(t *testing.T, server *Server, key string) (value string, revision int64) {
	t.Helper()
	response, err := client(t, server.Endpoint()).Get(t.Context(), key)
	require.NoError(t, err)
	if len(response.Kvs) == 0 {
		return "", response.Header.Revision
	}
	return string(response.Kvs[0].Value), response.Header.Revision
}

// Data survive Close and Start.
func TestServer_Restart(t *testing.T) {
	dir := newDir(t)
	first := start(t, dir)
	put(t, first, "key", "value")
	first.Close()

	second := start(t, dir)
	defer second.Close()
	value, _ := get(t, second, "key")
	assert.Equal(t, "value", value)
}

// The data folder is for its owner only.
func TestStart_FolderModes(t *testing.T) {
	dir := newDir(t)
	server := start(t, dir)
	defer server.Close()
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	socket, err := os.Stat(strings.TrimPrefix(server.Endpoint(), "unix://"))
	require.NoError(t, err)
	assert.Equal(t, fs.ModeSocket, socket.Mode().Type())

	for _, mode := range []fs.FileMode{0o750, 0o701, 0o777} {
		t.Run(mode.String()+" is refused", func(t *testing.T) {
			open := newDir(t)
			require.NoError(t, os.Mkdir(open, 0o700))
			require.NoError(t, os.Chmod(open, mode))
			_, err := Start(t.Context(), open)
			require.ErrorContains(t, err, "must be 0700")
			entries, err := os.ReadDir(open)
			require.NoError(t, err)
			assert.Empty(t, entries, "something was written there all the same")
		})
	}
}

// A second server on the same folder is refused at once.
func TestStart_FolderInUse(t *testing.T) {
	dir := newDir(t)
	first := start(t, dir)
	defer first.Close()
	_, err := Start(t.Context(), dir)
	require.ErrorContains(t, err, "folder "+dir+" is in use by another process")

	put(t, first, "still", "there")
	value, _ := get(t, first, "still")
	assert.Equal(t, "there", value)
}

// A path that no socket can have is refused before anything is made.
func TestStart_LongPath(t *testing.T) {
	long := filepath.Join(newDir(t), strings.Repeat("d", maxSocketPath))
	_, err := Start(t.Context(), long)
	require.ErrorContains(t, err, "choose a shorter folder")
	assert.NoDirExists(t, long)
}

// A start that is cancelled leaves the folder free.
func TestStart_Cancelled(t *testing.T) {
	dir := newDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	server, err := Start(ctx, dir)
	if err == nil { // it was ready before it looked
		server.Close()
	} else {
		require.ErrorIs(t, err, context.Canceled)
	}
	start(t, dir).Close()
}
