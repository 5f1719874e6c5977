// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package embeddedetcd runs a one-member etcd inside this process, for an
// installation on one machine. It knows nothing of what is stored.
package embeddedetcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/server/v3/embed"
	"golang.org/x/sys/unix"
)

// peerURL is a part of the member's identity, which etcd wants. The only member of the cluster has
// no peers, so nobody listens there.
var peerURL = url.URL{Scheme: "http", Host: "127.0.0.1:2380"}

const (
	memberName = "clusterpass"
	// quotaBytes bounds the database: the size etcd's own documentation names as
	// the largest for a normal environment.
	quotaBytes = 8 << 30
	// maxSocketPath is what fits sockaddr_un on Linux, its final NUL excluded.
	maxSocketPath = 107
)

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	lock     *os.File
	endpoint string
}

// Endpoint returns the URL under which the etcd of the data folder dir listens:
// a unix socket inside it. It does not say whether one is running.
func Endpoint(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("embedded etcd: %w", err)
	}
	socket := filepath.Join(abs, "etcd.sock")
	if len(socket) > maxSocketPath {
		return "", fmt.Errorf("embedded etcd: the path of its socket, %s, has %d bytes and a unix socket's may have %d: choose a shorter folder",
			socket, len(socket), maxSocketPath)
	}
	return "unix://" + socket, nil
}

// Start runs etcd on the data folder dir, which is created with mode 0700 where
// it is missing, and returns when it serves. It fails when another process uses
// dir, when dir can be entered by other users, or when ctx ends first. Whoever
// started it must Close it.
func Start(ctx context.Context, dir string) (*Server, error) {
	endpoint, err := Endpoint(dir)
	if err != nil {
		return nil, err
	}
	lock, err := claim(dir)
	if err != nil {
		return nil, err
	}
	config, err := newConfig(dir, endpoint)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded etcd in %s: %w", dir, err), lock.Close())
	}
	s := &Server{etcd: etcd, lock: lock, endpoint: endpoint}
	select {
	case <-etcd.Server.ReadyNotify():
		return s, nil
	case err = <-etcd.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.Close()
	return nil, fmt.Errorf("embedded etcd in %s did not become ready: %w", dir, err)
}

// Endpoint returns the URL to reach the server by.
func (s *Server) Endpoint() string { return s.endpoint }

// Err returns a channel that tells why the server stopped by itself.
func (s *Server) Err() <-chan error { return s.etcd.Err() }

// Close stops the server and waits until it has.
func (s *Server) Close() {
	s.etcd.Close()
	_ = s.lock.Close()
}

// claim makes dir, checks that it is ours alone, and locks it: a second etcd on
// the same files would wait for the first one without a word.
func claim(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("embedded etcd: folder %s has mode %04o and must be 0700: users who can enter it can read and write the database",
			dir, mode)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("embedded etcd: folder %s is in use by another process: %w", dir, err), lock.Close())
	}
	return lock, nil
}

func newConfig(dir, endpoint string) (*embed.Config, error) {
	client, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: %w", err)
	}
	c := embed.NewConfig()
	c.Name = memberName
	c.Dir = filepath.Join(dir, "data")
	c.ListenClientUrls = []url.URL{*client}
	c.AdvertiseClientUrls = []url.URL{*client}
	c.ListenPeerUrls = nil
	c.AdvertisePeerUrls = []url.URL{peerURL}
	c.InitialCluster = memberName + "=" + peerURL.String()
	c.EnableGRPCGateway = false
	c.QuotaBackendBytes = quotaBytes
	c.LogLevel = "warn"
	c.LogOutputs = []string{"stderr"}
	// The generic API server compacts etcd by itself, every --etcd-compaction-interval.
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = "0"
	// One member elects itself: a short election saves a second at every start.
	c.TickMs = 10
	c.ElectionMs = 100
	return c, nil
}
