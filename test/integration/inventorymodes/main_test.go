// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventorymodes tests clusterpass-apiserver on hubs that have CustomResourceDefinitions in the group of
// ClusterProfile, before and after it, in both modes of --inventory. The tests share one hub and one member and
// leave the hub as they found it, without clusterpass and without the CRDs.
package inventorymodes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
	poll         = 100 * time.Millisecond
)

// hub and bravelion, a member, are what the tests share.
var hub, bravelion *testenv.Cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clusterpass-inventorymodes-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the hub and the member, logs included, are kept in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if hub, err = newCluster(dir, "hub"); err != nil {
		return 0, err
	}
	if bravelion, err = newCluster(dir, "bravelion"); err != nil {
		return 0, err
	}
	var starting errgroup.Group
	defer hub.Stop()
	starting.Go(func() error { return hub.Start(ctx) })
	defer bravelion.Stop()
	starting.Go(func() error { return bravelion.Start(ctx) })
	if err := starting.Wait(); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func newCluster(dir, name string) (*testenv.Cluster, error) {
	ports, err := testenv.FreePorts(4)
	if err != nil {
		return nil, err
	}
	return testenv.NewCluster(testenv.ClusterConfig{
		Name:          name,
		Dir:           filepath.Join(dir, name),
		Ports:         testenv.Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		UnsafeNoFsync: true,
	})
}
