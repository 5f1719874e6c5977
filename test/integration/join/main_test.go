// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package join tests `kubectl clusterpass join` and what undoes it: on a hub and members that have nothing of clusterpass
// but the server and the controller manager as they are deployed.
package join

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/pkg/cli"
	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
	poll         = 50 * time.Millisecond
	// tendedBy is the cluster manager whose profiles the controller manager tends. Those that tests join are of another
	// unless they say so: what is compared before and after is changed by the tests alone.
	tendedBy = "tended"
)

// shared is a hub with two clusters that are not joined.
var shared struct {
	dir                       string
	hub, bravelion, smartfish *testenv.Cluster
	server                    *testenv.Server
	manager                   *testenv.ControllerManager
	// kubeconfig has a context for each cluster, as its admin. The hub's is the current one.
	kubeconfig string
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
	if shared.dir, err = os.MkdirTemp("", "clusterpass-join-"); err != nil {
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
	ports, err := testenv.FreePorts(14)
	if err != nil {
		return err
	}
	if err := startClusters(ctx, ports[:12]); err != nil {
		return err
	}
	shared.server, err = testenv.NewServer(testenv.ServerConfig{Hub: shared.hub, Dir: filepath.Join(shared.dir, "server"), Port: ports[12]})
	if err != nil {
		return err
	}
	if err := shared.server.Start(ctx); err != nil {
		return err
	}
	shared.manager, err = testenv.NewControllerManager(testenv.ControllerManagerConfig{
		Hub: shared.hub, Dir: filepath.Join(shared.dir, "manager"), Port: ports[13],
		Args: []string{"--member-sweep-period=2s", "--cluster-manager-name=" + tendedBy, "--member-probe-period=1s", "--cluster-profile-write-interval=1s"},
	})
	if err != nil {
		return err
	}
	return shared.manager.Start(ctx)
}

func startClusters(ctx context.Context, ports []int) error {
	var starting sync.WaitGroup
	clusters := map[string]**testenv.Cluster{"hub": &shared.hub, "bravelion": &shared.bravelion, "smartfish": &shared.smartfish}
	errs := make(chan error, len(clusters))
	rules := clientcmd.ClientConfigLoadingRules{}
	for name, place := range clusters {
		cluster, err := testenv.NewCluster(testenv.ClusterConfig{
			Name: name, Dir: filepath.Join(shared.dir, name), UnsafeNoFsync: true,
			Ports: testenv.Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		})
		if err != nil {
			return err
		}
		ports = ports[4:]
		*place = cluster
		rules.Precedence = append(rules.Precedence, cluster.Kubeconfig())
		starting.Go(func() { errs <- cluster.Start(ctx) })
	}
	starting.Wait()
	for range clusters {
		if err := <-errs; err != nil {
			return err
		}
	}
	config, err := rules.Load()
	if err != nil {
		return err
	}
	config.CurrentContext = shared.hub.Name()
	shared.kubeconfig = filepath.Join(shared.dir, "kubeconfig")
	return clientcmd.WriteToFile(*config, shared.kubeconfig)
}

func stop() {
	if shared.manager != nil {
		shared.manager.Stop()
	}
	if shared.server != nil {
		shared.server.Stop()
	}
	for _, cluster := range []*testenv.Cluster{shared.hub, shared.bravelion, shared.smartfish} {
		if cluster != nil {
			cluster.Stop()
		}
	}
}

// clusterpass runs `kubectl clusterpass` and returns what it prints.
func clusterpass(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := cli.NewCommand(genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &out})
	cmd.SetArgs(append([]string{"--kubeconfig=" + shared.kubeconfig, "--cache-dir=" + filepath.Join(shared.dir, "cache")}, args...))
	cmd.SetContext(ctx)
	cmd.SilenceErrors = true
	err := cmd.Execute()
	return out.String(), err
}

// mustClusterpass is clusterpass where it has to go well.
func mustClusterpass(t *testing.T, args ...string) string {
	t.Helper()
	out, err := clusterpass(t.Context(), args...)
	require.NoError(t, err, out)
	return out
}

// joined joins a member by the name of its cluster, with more arguments, until the test ends.
func joined(t *testing.T, name string, args ...string) string {
	t.Helper()
	unjoin := []string{"unjoin", name, "--member-context=" + name}
	if i := slices.Index(args, "--cluster-manager="+tendedBy); i >= 0 {
		unjoin = append(unjoin, args[i])
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testenv.WaitTimeout)
		defer cancel()
		out, err := clusterpass(ctx, unjoin...)
		require.NoError(t, err, out)
		cluster := map[string]*testenv.Cluster{"bravelion": shared.bravelion, "smartfish": shared.smartfish}[name]
		waitNamespaceGone(t, cluster, "clusterpass-system")
	})
	return mustClusterpass(t, append([]string{"join", name, "--member-context=" + name, "--wait=false"}, args...)...)
}

func kube(t *testing.T, cluster *testenv.Cluster) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(cluster.RESTConfig())
	require.NoError(t, err)
	return client
}
