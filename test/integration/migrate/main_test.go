// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate tests the way of a real hub from CustomResourceDefinitions to clusterpass serving the inventory. The
// tests share one hub and leave it as they found it, without clusterpass and without the definitions.
package migrate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
)

// hub is what the tests share.
var hub *testenv.Cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clusterpass-migrate-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the hub, logs included, are kept in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ports, err := testenv.FreePorts(4)
	if err != nil {
		return 0, err
	}
	hub, err = testenv.NewCluster(testenv.ClusterConfig{
		Name:          "hub",
		Dir:           filepath.Join(dir, "hub"),
		Ports:         testenv.Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		UnsafeNoFsync: true,
	})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	defer hub.Stop()
	if err := hub.Start(ctx); err != nil {
		return 0, err
	}
	return m.Run(), nil
}
