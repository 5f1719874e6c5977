// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package score tests what a hub says of what is free on its members: on a real member whose nodes and pods are API
// objects without a kubelet, with the controller manager as it is deployed.
package score

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
	// period is how often the member is read.
	period = 2 * time.Second
)

// shared is a hub with one member, joined in namespace default.
var shared struct {
	dir            string
	hub, bravelion *testenv.Cluster
	server         *testenv.Server
	manager        *testenv.ControllerManager
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if shared.dir, err = os.MkdirTemp("", "clusterpass-score-"); err != nil {
		return 0, err
	}
	defer func() {
		stop()
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the fleet, logs included, are kept in %s\n", shared.dir)
			return
		}
		err = os.RemoveAll(shared.dir)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := start(ctx); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func start(ctx context.Context) error {
	ports, err := testenv.FreePorts(10)
	if err != nil {
		return err
	}
	if err := startClusters(ctx, ports); err != nil {
		return err
	}
	shared.server, err = testenv.NewServer(testenv.ServerConfig{Hub: shared.hub, Dir: filepath.Join(shared.dir, "server"), Port: ports[8]})
	if err != nil {
		return err
	}
	if err := shared.server.Start(ctx); err != nil {
		return err
	}
	if err := testenv.Join(ctx, shared.hub, shared.bravelion, "default", "bravelion"); err != nil {
		return err
	}
	shared.manager, err = testenv.NewControllerManager(testenv.ControllerManagerConfig{
		Hub: shared.hub, Dir: filepath.Join(shared.dir, "manager"), Port: ports[9],
		Args: []string{"--v=4", "--score-period=" + period.String()},
	})
	if err != nil {
		return err
	}
	return shared.manager.Start(ctx)
}

func startClusters(ctx context.Context, ports []int) error {
	var starting sync.WaitGroup
	errs := make(chan error, 2)
	for i, name := range []string{"hub", "bravelion"} {
		cluster, err := testenv.NewCluster(testenv.ClusterConfig{
			Name:          name,
			Dir:           filepath.Join(shared.dir, name),
			Ports:         testenv.Ports{APIServer: ports[4*i], Etcd: ports[4*i+1], EtcdPeer: ports[4*i+2], ControllerManager: ports[4*i+3]},
			UnsafeNoFsync: true,
		})
		if err != nil {
			return err
		}
		*[]**testenv.Cluster{&shared.hub, &shared.bravelion}[i] = cluster
		starting.Go(func() { errs <- cluster.Start(ctx) })
	}
	starting.Wait()
	for range 2 {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}

func stop() {
	if shared.manager != nil {
		shared.manager.Stop()
	}
	if shared.server != nil {
		shared.server.Stop()
	}
	for _, cluster := range []*testenv.Cluster{shared.hub, shared.bravelion} {
		if cluster != nil {
			cluster.Stop()
		}
	}
}

// must returns value where a call went well, and ends the test where it did not.
func must[T any](t *testing.T) func(value T, err error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// hub returns a client for a user of the hub; admin is one with all rights.
func hub(t *testing.T, user string) *versioned.Clientset {
	t.Helper()
	config := shared.hub.RESTConfig()
	if user != admin {
		var err error
		if config, err = shared.hub.UserConfig(user); err != nil {
			t.Fatal(err)
		}
	}
	return must[*versioned.Clientset](t)(versioned.NewForConfig(config))
}

func kube(t *testing.T, cluster *testenv.Cluster) kubernetes.Interface {
	t.Helper()
	return must[kubernetes.Interface](t)(kubernetes.NewForConfig(cluster.RESTConfig()))
}
