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

	"k8s.io/klog/v2"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// entryVersion is the format of an entry. Others are ignored and replaced.
	entryVersion = 1
	// entrySuffix and temporaryPrefix tell the files of the cache from those of others.
	entrySuffix     = ".json"
	temporaryPrefix = "tmp-"
	// maxEntry bounds an entry in bytes. A token has some 1,500, the authorities of a cluster rarely more.
	maxEntry = 1 << 20
	// maxCallers bounds the processes that an entry remembers.
	maxCallers = 64
	// temporaryAge is when a temporary file has been left behind by a process that died.
	temporaryAge = time.Hour
)

// errUnsafe says that others could put tokens where the cache would read them, or read what it writes.
var errUnsafe = errors.New("unsafe token cache")

// DefaultCacheDir returns clusterpass/tokens in the user's folder for caches ($XDG_CACHE_HOME or ~/.cache on Linux).
func DefaultCacheDir() (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, "clusterpass", "tokens"), nil
}

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
	// Callers are processes that were handed this token.
	Callers []int `json:"callers,omitempty"`
}

// handTo remembers that caller has the token now. The caller 0 is nobody known.
func (e *entry) handTo(caller int) {
	if caller == 0 || slices.Contains(e.Callers, caller) {
		return
	}
	e.Callers = append(e.Callers, caller)
	e.Callers = e.Callers[max(0, len(e.Callers)-maxCallers):]
}

// cache keeps tokens in a folder that only its owner may enter, one file a token. The zero value keeps none.
type cache struct {
	dir string
}

// openCache returns the cache in dir, which is created. It is an error when others than its owner may enter it. A folder that can't be
// created, as on a read-only filesystem, makes a cache that keeps nothing.
func openCache(ctx context.Context, dir string) (cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		klog.FromContext(ctx).Info("Tokens are not cached", "dir", dir, "err", err)
		return cache{}, nil
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return cache{}, err
	}
	if !info.IsDir() || !ownedByUs(info) {
		return cache{}, fmt.Errorf("%w: %s is not a folder of yours", errUnsafe, dir)
	}
	if !ownerOnly(info) {
		return cache{}, fmt.Errorf("%w: others may use %s: chmod 700 it", errUnsafe, dir)
	}
	return cache{dir: dir}, nil
}

// lock waits until no other process works on the entry of that key, or ctx ends. Where nothing can be locked, as on a
// read-only filesystem, it goes on without.
func (c cache) lock(ctx context.Context, key string) (unlock func(), err error) {
	if c.dir == "" {
		return func() {}, nil
	}
	// A file for each key would stay for ever: one that is removed while another process waits for it locks nobody out.
	// By the first byte of the key there are 256 at most, and few keys that share one.
	path := filepath.Join(c.dir, "lock-"+key[:2])
	unlock, err = lockFile(ctx, path)
	switch {
	case err == nil:
		return unlock, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for another process that asks the hub, which holds %s: %w", path, ctx.Err())
	}
	klog.FromContext(ctx).Info("Going on without a lock", "file", path, "err", err)
	return func() {}, nil
}

// read returns the entry of key, or nil when there is none that can be used. A file that is not the user's own, or a link, is an error.
func (c cache) read(ctx context.Context, key string) (*entry, error) {
	if c.dir == "" {
		return nil, nil
	}
	found, err := readEntry(c.path(key))
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

// write puts e under key, whole or not at all. Not being able to is no reason to keep a token from its user.
func (c cache) write(ctx context.Context, key string, e *entry) {
	if c.dir == "" {
		return
	}
	if err := c.replace(key, e); err != nil {
		klog.FromContext(ctx).Info("The token is not cached", "err", err)
	}
}

func (c cache) replace(key string, e *entry) error {
	content, err := json.Marshal(e)
	if err != nil {
		return errors.New("it can't be encoded")
	}
	// Created with mode 0600.
	file, err := os.CreateTemp(c.dir, temporaryPrefix)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), c.path(key))
}

// prune removes the tokens that have expired.
func (c cache) prune(now time.Time) {
	if c.dir == "" {
		return
	}
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, file := range files {
		path := filepath.Join(c.dir, file.Name())
		if stale(path, file, now) {
			_ = os.Remove(path) // another process may have been first
		}
	}
}

// stale says whether a file of the cache is of no more use. One that can't be read is left to who asks for it.
func stale(path string, file fs.DirEntry, now time.Time) bool {
	switch {
	case strings.HasPrefix(file.Name(), temporaryPrefix):
		info, err := file.Info()
		return err == nil && now.Sub(info.ModTime()) > temporaryAge
	case strings.HasSuffix(file.Name(), entrySuffix):
		e, err := readEntry(path)
		return err == nil && !now.Before(e.Expiration)
	}
	return false
}

func (c cache) path(key string) string { return filepath.Join(c.dir, key+entrySuffix) }

// readEntry reads a file of the cache. Its errors never hold what is in it.
func readEntry(path string) (*entry, error) {
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
	content, err := io.ReadAll(io.LimitReader(file, maxEntry))
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
