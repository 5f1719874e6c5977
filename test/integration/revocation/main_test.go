// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package revocation tests that what was granted stays as it was granted, and ends when its grant does: on real
// members, with the controller manager as it is deployed.
package revocation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
	poll         = 20 * time.Millisecond
)

// shared is a hub with two members, joined in namespace default.
var shared struct {
	dir                       string
	hub, bravelion, smartfish *testenv.Cluster
	server                    *testenv.Server
	manager                   *testenv.ControllerManager
	// tokens are all that were minted.
	tokens []string
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
	if shared.dir, err = os.MkdirTemp("", "clusterpass-revocation-"); err != nil {
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
	var starting sync.WaitGroup
	errs := make(chan error, 3)
	for i, name := range []string{"hub", "bravelion", "smartfish"} {
		cluster, err := testenv.NewCluster(testenv.ClusterConfig{
			Name:          name,
			Dir:           filepath.Join(shared.dir, name),
			Ports:         testenv.Ports{APIServer: ports[4*i], Etcd: ports[4*i+1], EtcdPeer: ports[4*i+2], ControllerManager: ports[4*i+3]},
			UnsafeNoFsync: true,
		})
		if err != nil {
			return err
		}
		*map[string]**testenv.Cluster{"hub": &shared.hub, "bravelion": &shared.bravelion, "smartfish": &shared.smartfish}[name] = cluster
		starting.Go(func() { errs <- cluster.Start(ctx) })
	}
	starting.Wait()
	for range 3 {
		if err := <-errs; err != nil {
			return err
		}
	}
	access, err := accessConfig(filepath.Join(shared.dir, "plugin"))
	if err != nil {
		return err
	}
	shared.server, err = testenv.NewServer(testenv.ServerConfig{
		Hub: shared.hub, Dir: filepath.Join(shared.dir, "server"), Port: ports[12], Args: []string{"--v=10", "--access-config=" + access},
	})
	if err != nil {
		return err
	}
	if err := shared.server.Start(ctx); err != nil {
		return err
	}
	for _, member := range []*testenv.Cluster{shared.bravelion, shared.smartfish} {
		if err := testenv.Join(ctx, shared.hub, member, "default", member.Name()); err != nil {
			return err
		}
	}
	shared.manager, err = testenv.NewControllerManager(testenv.ControllerManagerConfig{
		Hub: shared.hub, Dir: filepath.Join(shared.dir, "manager"), Port: ports[13], Args: []string{"--v=10", "--member-sweep-period=2s", "--max-orphan-removals=5", "--access-config=" + access,
			// Nobody's profiles: no probes among the calls that are counted here.
			"--cluster-manager-name=nobody"},
	})
	if err != nil {
		return err
	}
	return shared.manager.Start(ctx)
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

func hub(t *testing.T) *versioned.Clientset {
	t.Helper()
	return must[*versioned.Clientset](t)(versioned.NewForConfig(shared.hub.RESTConfig()))
}

func kube(t *testing.T, cluster *testenv.Cluster) kubernetes.Interface {
	t.Helper()
	return must[kubernetes.Interface](t)(kubernetes.NewForConfig(cluster.RESTConfig()))
}

// granted is a grant and a client that uses a token of it.
type granted struct {
	*clusterpassv1alpha1.AuthTokenGrant
	client kubernetes.Interface
}

// mint has the hub answer a request from namespace for account on the ClusterProfile default/cluster.
func mint(t *testing.T, namespace, cluster, account string, change func(*v1alpha1.AuthTokenRequestSpec)) granted {
	t.Helper()
	request := &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: cluster, Namespace: "default"},
		ServiceAccountNamespace: "default",
		ServiceAccountName:      account,
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
	}}
	if change != nil {
		change(&request.Spec)
	}
	answer := must[*v1alpha1.AuthTokenRequest](t)(hub(t).MulticlusterV1alpha1().AuthTokenRequests(namespace).Create(t.Context(), request, metav1.CreateOptions{}))
	shared.tokens = append(shared.tokens, answer.Status.Token)
	config := must[clientcmd.ClientConfig](t)(clientcmd.NewClientConfigFromBytes(answer.Status.Kubeconfig))
	rest, err := config.ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	rest.QPS = -1
	g := must[*clusterpassv1alpha1.AuthTokenGrant](t)(hub(t).ClusterpassV1alpha1().AuthTokenGrants(namespace).Get(t.Context(), answer.Status.GrantName, metav1.GetOptions{}))
	return granted{AuthTokenGrant: g, client: must[kubernetes.Interface](t)(kubernetes.NewForConfig(rest))}
}

// use uses the token of a grant of view.
func (g granted) use(ctx context.Context) error {
	_, err := g.client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{Limit: 1})
	return err
}

func deleteGrant(t *testing.T, g granted) {
	t.Helper()
	if err := hub(t).ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).Delete(t.Context(), g.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T, name string) {
	t.Helper()
	must[*corev1.Namespace](t)(kube(t, shared.hub).CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
}
