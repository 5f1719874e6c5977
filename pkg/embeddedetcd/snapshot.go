// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	restore "go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// revisionBump is added to the revision of a restored etcd: more than a server
// writes in the lifetime of a snapshot.
const revisionBump = 1_000_000_000

// pingTimeout bounds how long Save waits for an answer, where nobody says.
const pingTimeout = 10 * time.Second

// Save writes a snapshot of the etcd that config reaches to the file path, which
// must not exist. The file is readable by its owner only: it holds the whole
// inventory. The etcd goes on serving. It fails when the etcd does not answer within
// the dial timeout of config, 10 s if there is none.
func Save(ctx context.Context, config clientv3.Config, path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("snapshot: %s exists and is not written over", path)
	}
	if err := ping(ctx, config); err != nil {
		return fmt.Errorf("snapshot: no etcd answers at %s; is the server running? %w", strings.Join(config.Endpoints, ", "), err)
	}
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, path); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return nil
}

// ping asks the etcd that config reaches for its status. A client's own requests wait for a
// connection without end.
func ping(ctx context.Context, config clientv3.Config) error {
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(config.DialTimeout, pingTimeout))
	defer cancel()
	_, err = client.Status(ctx, config.Endpoints[0])
	return err
}

// Restore makes dir, which must be missing or empty, the data folder of an etcd
// that holds what was in the snapshot at path.
func Restore(path, dir string) error {
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("restore: folder %s is not empty and is not written over", dir)
	}
	lock, err := claim(dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	err = restore.NewV3(zap.NewNop()).Restore(restore.RestoreConfig{
		SnapshotPath:        path,
		Name:                memberName,
		OutputDataDir:       filepath.Join(dir, "data"),
		PeerURLs:            []string{peerURL.String()},
		InitialCluster:      memberName + "=" + peerURL.String(),
		InitialClusterToken: "etcd-cluster",
		// Resource versions must not run backwards under clients that watch: all
		// of them start over, instead of missing what comes next.
		RevisionBump:  revisionBump,
		MarkCompacted: true,
	})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}
