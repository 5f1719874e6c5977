// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/klog/v2"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// entryVersion is the format of an entry. Others are ignored and replaced.
	entryVersion = 2
	// entrySuffix and temporaryPrefix tell the files of the cache from those of others.
	entrySuffix     = ".json"
	temporaryPrefix = "tmp-"
	// maxEntry bounds an entry in bytes. A token has some 1,500, the authorities of a cluster rarely
	// more.
	maxEntry = 1 << 20
	// maxCallers bounds the processes that an entry remembers.
	maxCallers = 64
	// temporaryAge is when a temporary file has been left behind by a process that died.
	temporaryAge = time.Hour
)

// errUnsafe says that others could put tokens where the cache would read them, or read what it
// writes.
var errUnsafe = errors.New("unsafe token cache")

// entry is the content of a file of the cache.
type entry struct {
	Version    int       `json:"version"`
	Token      string    `json:"token" datapolicy:"token"`
	Expiration time.Time `json:"expiration"`
	Refresh    time.Time `json:"refreshAfter"`
	Minted     time.Time `json:"minted"`
	// Retry, where not zero, is when to ask the hub again after it could not be reached.
	Retry   time.Time        `json:"retryAfter,omitzero"`
	Cluster v1alpha1.Cluster `json:"cluster"`
	// Hub is a hash of the hub, and Profile is the ClusterProfile there that the token was asked for
	// by.
	Hub     string `json:"hub"`
	Profile string `json:"profile"`
	// Grant is the name of the grant, which is another for a ClusterProfile of another UID.
	Grant string `json:"grant,omitempty"`
	// Callers are processes that were handed this token.
	Callers []string `json:"callers,omitempty"`
	// Forced says when processes had the token replaced before its time.
	Forced map[string]time.Time `json:"forced,omitempty"`
}

// handTo remembers that caller has the token now. An empty caller is nobody known.
func (e *entry) handTo(caller string) {
	if caller == "" || slices.Contains(e.Callers, caller) {
		return
	}
	e.Callers = append(e.Callers, caller)
	e.Callers = e.Callers[max(0, len(e.Callers)-maxCallers):]
}

// forcedBy remembers that caller has this token in place of before, whose time had not come.
func (e *entry) forcedBy(caller string, before *entry) {
	e.Forced = map[string]time.Time{caller: e.Minted}
	for other, at := range before.Forced {
		if e.Minted.Sub(at) < forcedPause && len(e.Forced) < maxCallers {
			e.Forced[other] = at
		}
	}
}

// replaces returns whether the ClusterProfile that e was minted for has taken the place of the one
// of before, or says otherwise than then how its cluster is reached. Both are for the same hub and
// the same request.
func (e *entry) replaces(before *entry) bool {
	return before != nil && (e.Grant != before.Grant || !equality.Semantic.DeepEqual(e.Cluster, before.Cluster))
}

// cache keeps tokens in a folder that only its owner may enter, one file a token.
type cache struct {
	dir string
}

// openCache returns the cache in dir, which is created. Without dir, that is clusterpass/tokens in
// the user's folder for caches ($XDG_CACHE_HOME or ~/.cache on Linux). It is an error when it
// cannot be created, and when others than its owner may enter it.
func openCache(dir string) (*cache, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		dir = filepath.Join(base, "clusterpass", "tokens")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return nil, fmt.Errorf("%w: %s is not a folder of yours: choose another by --%s", errUnsafe, dir, flagCacheDir)
	}
	if !ownerOnly(info) {
		return nil, fmt.Errorf("%w: others may use it: chmod 700 %s", errUnsafe, dir)
	}
	return &cache{dir: dir}, nil
}

// lock waits until no other process works on the entry of that key, or ctx ends. Where nothing can
// be locked, as on a read-only filesystem, it goes on without: the caller then finds that it cannot
// write.
func (c *cache) lock(ctx context.Context, key string) (unlock func(), err error) {
	// A file for each key would stay for ever: one that is removed while another process waits for it
	// locks nobody out. By the first byte of the key there are 256 at most, and few keys that share
	// one.
	path := filepath.Join(c.dir, "lock-"+key[:2])
	unlock, err = lockFile(ctx, path)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for another process that is asking the hub and holds %s: %w", path, ctx.Err())
	}
	klog.FromContext(ctx).V(1).Info("Going on without a lock", "file", path, "err", err)
	return func() {}, nil
}

// read returns the entry of key, or nil when there is none that can be used. A file that is not the
// user's own, or a link, is an error.
func (c *cache) read(ctx context.Context, key string) (*entry, error) {
	found, err := readEntry(filepath.Join(c.dir, key+entrySuffix))
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, errUnsafe):
		return nil, err
	case !errors.Is(err, fs.ErrNotExist):
		klog.FromContext(ctx).Info("Replacing a cached token that can't be used", "err", err)
	}
	return nil, nil
}

// write makes content the JSON in the file of that name, for its owner alone, whole or not at all.
func (c *cache) write(name string, content any) error {
	encoded, err := json.Marshal(content)
	if err != nil {
		return errors.New("it can't be encoded")
	}
	// Created with mode 0600.
	file, err := os.CreateTemp(c.dir, temporaryPrefix)
	if err != nil {
		return err
	}
	_, err = file.Write(encoded)
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}

// prune removes the tokens that have expired, and those that are not wanted.
func (c *cache) prune(now time.Time, unwanted func(e *entry) bool) {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, file := range files {
		path := filepath.Join(c.dir, file.Name())
		if stale(path, file, now, unwanted) {
			_ = os.Remove(path) // another process may have been first
		}
	}
}

// stale returns whether a file of the cache is of no more use. One that cannot be read is left to
// who asks for it.
func stale(path string, file fs.DirEntry, now time.Time, unwanted func(e *entry) bool) bool {
	switch {
	case strings.HasPrefix(file.Name(), temporaryPrefix):
		info, err := file.Info()
		return err == nil && now.Sub(info.ModTime()) > temporaryAge
	case strings.HasSuffix(file.Name(), entrySuffix):
		e, err := readEntry(path)
		return err == nil && (!now.Before(e.Expiration) || unwanted(e))
	}
	return false
}

// readEntry reads a file of the cache. Its errors never hold what is in it.
func readEntry(path string) (*entry, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	e := &entry{}
	// The parser's words could hold a part of the token.
	if err := json.Unmarshal(content, e); err != nil || e.Version != entryVersion || e.Token == "" {
		return nil, fmt.Errorf("%s is damaged or of another version", path)
	}
	return e, nil
}

// readFile reads a file that is the user's alone.
func readFile(path string) ([]byte, error) {
	file, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || !ownedByUs(info) {
		return nil, fmt.Errorf("%w: %s is not a file of yours: remove it", errUnsafe, path)
	}
	if !ownerOnly(info) {
		return nil, fmt.Errorf("others may read or write %s", path)
	}
	return io.ReadAll(io.LimitReader(file, maxEntry))
}
