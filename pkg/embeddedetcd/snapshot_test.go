// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// save returns the file with a snapshot of server.
func save(t *testing.T, server *Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "snapshot")
	require.NoError(t, Save(t.Context(), clientv3.Config{Endpoints: []string{server.Endpoint()}}, file))
	return file
}

// A snapshot holds what was there when it was taken.
func TestRestore(t *testing.T) {
	original := start(t, newDir(t))
	defer original.Close()
	put(t, original, "key", "before")
	file := save(t, original)
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	put(t, original, "key", "after")
	_, revision := get(t, original, "key")

	dir := newDir(t)
	require.NoError(t, Restore(file, dir))
	restored := start(t, dir)
	defer restored.Close()
	value, restoredRevision := get(t, restored, "key")
	assert.Equal(t, "before", value)
	assert.Greater(t, restoredRevision, revision, "revisions run backwards under those who watch")

	_, err = client(t, restored.Endpoint()).Get(t.Context(), "key", clientv3.WithRev(revision))
	assert.ErrorIs(t, err, rpctypes.ErrCompacted, "a revision from before the restore is still answered")
}

func TestSave_NothingIsWrittenOver(t *testing.T) {
	server := start(t, newDir(t))
	defer server.Close()
	file := save(t, server)
	before, err := os.ReadFile(file)
	require.NoError(t, err)

	err = Save(t.Context(), clientv3.Config{Endpoints: []string{server.Endpoint()}}, file)
	require.ErrorContains(t, err, "is not written over")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, before, after)

	used := newDir(t)
	require.NoError(t, os.Mkdir(used, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(used, "something"), nil, 0o600))
	require.ErrorContains(t, Restore(file, used), "is not empty")
	assert.NoDirExists(t, filepath.Join(used, "data"))
}

func TestSave_NoServer(t *testing.T) {
	endpoint, err := Endpoint(newDir(t))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "snapshot")
	err = Save(t.Context(), clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 100 * time.Millisecond}, file)
	require.ErrorContains(t, err, "is the server running?")
	assert.NoFileExists(t, file)
}

// What is no snapshot is not restored.
func TestRestore_NoSnapshot(t *testing.T) {
	server := start(t, newDir(t))
	defer server.Close()
	put(t, server, "key", "value")
	whole, err := os.ReadFile(save(t, server))
	require.NoError(t, err)
	damaged := append([]byte{}, whole...)
	damaged[len(damaged)/2] ^= 0xff
	for name, content := range map[string][]byte{
		"something else":          []byte("not a snapshot"),
		"a snapshot cut short":    whole[:len(whole)/2],
		"a snapshot with a flip":  damaged,
		"a file that is not full": {},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "snapshot")
			require.NoError(t, os.WriteFile(file, content, 0o600))
			assert.Error(t, Restore(file, newDir(t)))
		})
	}
	t.Run("no file at all", func(t *testing.T) {
		assert.ErrorIs(t, Restore(filepath.Join(t.TempDir(), "missing"), newDir(t)), fs.ErrNotExist)
	})
}
