// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package multikueue tests that Kueue can use what clusterpass issues: with Kueue itself, on a hub
// and a member.
package multikueue

import (
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"

	"clusterpass.dev/test/kubelet"
	"clusterpass.dev/test/testenv"
)

const (
	// memberName is the member's name in artifacts/examples/multikueue.
	memberName = "bravelion"
	// namespace has the ClusterProfile and the Jobs.
	namespace = "default"
)

// fleet is a hub that has clusterpass, and members; all have Kueue.
type fleet struct {
	hub      *testenv.Cluster
	hubKueue *testenv.Kueue
	members  []*member
}

// member is a cluster that Jobs run on, with what plays its kubelet.
type member struct {
	*testenv.Cluster
	kueue *testenv.Kueue
}

// startFleet runs one with members of these names until the test ends. Kueue on the hub is
// configured as edit says, which may be nil.
func startFleet(t *testing.T, edit func(configuration map[string]any), names ...string) *fleet {
	t.Helper()
	testenv.RequireKueue(t)
	f := &fleet{hub: testenv.Start(t, testenv.Options{Name: "hub"})}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	f.hubKueue = testenv.StartKueue(t, f.hub, testenv.KueueConfig{Role: testenv.KueueManager, Edit: edit})
	for _, name := range names {
		f.members = append(f.members, f.startMember(t, namespace, name))
	}
	return f
}

// startMember runs a member with Kueue and its queues, and joins it: its ClusterProfile is in
// namespace.
func (f *fleet) startMember(t *testing.T, namespace, name string) *member {
	t.Helper()
	m := &member{Cluster: testenv.Start(t, testenv.Options{Name: name, Audit: true})}
	m.kueue = testenv.StartKueue(t, m.Cluster, testenv.KueueConfig{Role: testenv.KueueWorker})
	kubectl(t, m.Cluster, "apply", "--server-side", "-f", example(t, "worker-queues.yaml"))
	startKubelet(t, m.Cluster)
	require.NoError(t, testenv.Join(t.Context(), f.hub, m.Cluster, namespace, name))
	return m
}

// startKubelet completes the member's Jobs until the test ends.
func startKubelet(t *testing.T, member *testenv.Cluster) {
	t.Helper()
	k, err := kubelet.New(member.RESTConfig())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// kubectl runs kubectl as the cluster's admin and returns what it prints.
func kubectl(t *testing.T, cluster *testenv.Cluster, args ...string) []byte {
	t.Helper()
	return []byte(testenv.MustKubectl(t, cluster.Kubeconfig(), "", args...))
}

// example returns the path of a file in artifacts/examples/multikueue.
func example(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(testenv.Root(t), "artifacts", "examples", "multikueue", name)
}

func dynamicClient(t *testing.T, cluster *testenv.Cluster) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(cluster.RESTConfig())
	require.NoError(t, err)
	return client
}
