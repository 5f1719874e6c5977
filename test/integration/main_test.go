// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration tests clusterpass-apiserver behind a real kube-apiserver, with
// real member clusters. The tests share one hub and two members; each uses names of
// its own.
package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
)

// fleet is what the tests share.
type fleet struct {
	dir    string
	hub    *testenv.Cluster
	server *testenv.Server
	// bravelion and smartfish are members, joined in namespace default.
	bravelion, smartfish *testenv.Cluster
}

var shared fleet

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clusterpass-integration-")
	if err != nil {
		return 0, err
	}
	shared.dir = dir
	defer func() {
		shared.stop()
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the shared fleet, logs included, are kept in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := shared.start(ctx); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func (f *fleet) start(ctx context.Context) (err error) {
	clusters := map[string]**testenv.Cluster{"hub": &f.hub, "bravelion": &f.bravelion, "smartfish": &f.smartfish}
	errs := make(chan error, len(clusters))
	var starting sync.WaitGroup
	for name, cluster := range clusters {
		if *cluster, err = newCluster(filepath.Join(f.dir, name), name); err != nil {
			return err
		}
		starting.Go(func() {
			if err := (*cluster).Start(ctx); err != nil {
				errs <- err
			}
		})
	}
	starting.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return err
	}
	ports, err := testenv.FreePorts(1)
	if err != nil {
		return err
	}
	root, err := testenv.ModuleRoot()
	if err != nil {
		return err
	}
	dir := filepath.Join(f.dir, "server")
	if f.server, err = testenv.NewServer(testenv.ServerConfig{
		Hub:         f.hub,
		Dir:         dir,
		Port:        ports[0],
		AuditPolicy: filepath.Join(root, "test", "integration", "testdata", "audit-everything.yaml"),
		AuditLog:    f.serverAuditLog(),
		Args:        []string{"--v=10"},
	}); err != nil {
		return err
	}
	if err := f.server.Start(ctx); err != nil {
		return err
	}
	for _, member := range []*testenv.Cluster{f.bravelion, f.smartfish} {
		if err := testenv.Join(ctx, f.hub, member, "default", member.Name()); err != nil {
			return err
		}
	}
	return nil
}

func newCluster(dir, name string) (*testenv.Cluster, error) {
	ports, err := testenv.FreePorts(4)
	if err != nil {
		return nil, err
	}
	var args []string
	if name == "smartfish" {
		// A member's own maximum is not ours to exceed, and must not be kept from who asked.
		args = append(args, "--service-account-max-token-expiration=12h")
	}
	return testenv.NewCluster(testenv.ClusterConfig{
		APIServerArgs: args,
		Name:          name,
		Dir:           dir,
		Ports:         testenv.Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		UnsafeNoFsync: true,
		AuditLog:      filepath.Join(dir, "audit.log"),
	})
}

func (f *fleet) stop() {
	if f.server != nil {
		f.server.Stop()
	}
	for _, cluster := range []*testenv.Cluster{f.hub, f.bravelion, f.smartfish} {
		if cluster != nil {
			cluster.Stop()
		}
	}
}

func (f *fleet) serverAuditLog() string { return filepath.Join(f.dir, "server-audit.log") }

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

func kube(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	return must[kubernetes.Interface](t)(kubernetes.NewForConfig(config))
}

func dyn(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	return must[dynamic.Interface](t)(dynamic.NewForConfig(config))
}
