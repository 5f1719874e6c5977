// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package multikueue tests that Kueue can use what clusterpass issues: with Kueue itself, on a hub
// and a member.
package multikueue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
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

// startWithSet is startFleet with the set of all members. The controller manager may keep Secrets
// for Kueue, and objects of Kueue.
func startWithSet(t *testing.T, edit func(configuration map[string]any), names ...string) *fleet {
	t.Helper()
	f := startFleet(t, edit, names...)
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, "hub-queues.yaml"))
	testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{"--v=2"}})
	kubectl(t, f.hub, "-n", testenv.KueueNamespace, "create", "rolebinding", "clusterpass-credential-sets",
		"--clusterrole=clusterpass:credential-sets", "--serviceaccount=clusterpass-system:clusterpass-controller-manager")
	kubectl(t, f.hub, "create", "clusterrolebinding", "clusterpass-multikueue",
		"--clusterrole=clusterpass:multikueue", "--serviceaccount=clusterpass-system:clusterpass-controller-manager")
	kubectl(t, f.hub, "apply", "--server-side", "-f", example(t, setFile))
	testenv.Eventually(t, f.ready(t, v1alpha1.MultiKueueReasonActive, fmt.Sprintf("%d clusters", len(names))))
	return f
}

// startMember runs a member with Kueue and its queues, whose Jobs are completed, and joins it: its
// ClusterProfile is in namespace.
func (f *fleet) startMember(t *testing.T, namespace, name string) *member {
	t.Helper()
	m := &member{Cluster: testenv.Start(t, testenv.Options{Name: name, Audit: true})}
	m.kueue = testenv.StartKueue(t, m.Cluster, testenv.KueueConfig{Role: testenv.KueueWorker})
	kubectl(t, m.Cluster, "apply", "--server-side", "-f", example(t, "worker-queues.yaml"))
	k := testenv.Must[*kubelet.Kubelet](t)(kubelet.New(m.RESTConfig()))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	require.NoError(t, testenv.Join(t.Context(), f.hub, m.Cluster, namespace, name))
	return m
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

// read returns the object in such a file.
func read[T any](t *testing.T, name string) *T {
	t.Helper()
	object := new(T)
	require.NoError(t, yaml.UnmarshalStrict(testenv.Must[[]byte](t)(os.ReadFile(example(t, name))), object))
	return object
}

func dynamicClient(t *testing.T, cluster *testenv.Cluster) dynamic.Interface {
	t.Helper()
	return testenv.Must[dynamic.Interface](t)(dynamic.NewForConfig(cluster.RESTConfig()))
}
