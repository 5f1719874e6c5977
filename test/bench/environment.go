// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/test/testenv"
)

// benchUser sends all measured requests. It is no admin: those pass authorization without the
// question that an aggregated server has to ask the hub for anybody else.
const benchUser = "bench"

// environment is the processes of one part, and their files.
type environment struct {
	dir  string
	stop []func()
}

func newEnvironment() (*environment, error) {
	dir, err := os.MkdirTemp("", "clusterpass-bench-")
	return &environment{dir: dir}, err
}

// close ends the processes, the last one first, and removes their files.
func (e *environment) close() error {
	e.end()
	return os.RemoveAll(e.dir)
}

// end ends the processes and leaves their files, logs included.
func (e *environment) end() {
	for _, stop := range slices.Backward(e.stop) {
		stop()
	}
	e.stop = nil
}

// startClusters starts clusters side by side, with an etcd that syncs to disk as a real one does,
// and as the embedded one of clusterpass-apiserver does. They are returned in the order of their
// names.
func (e *environment) startClusters(ctx context.Context, names ...string) ([]*testenv.Cluster, error) {
	ports, err := testenv.FreePorts(4 * len(names))
	if err != nil {
		return nil, err
	}
	clusters := make([]*testenv.Cluster, len(names))
	for i, name := range names {
		own := ports[4*i:]
		if clusters[i], err = testenv.NewCluster(testenv.ClusterConfig{
			Name:  name,
			Dir:   filepath.Join(e.dir, name),
			Ports: testenv.Ports{APIServer: own[0], Etcd: own[1], EtcdPeer: own[2], ControllerManager: own[3]},
		}); err != nil {
			return nil, err
		}
		e.stop = append(e.stop, clusters[i].Stop)
	}
	starting, ctx := errgroup.WithContext(ctx)
	for _, cluster := range clusters {
		starting.Go(func() error { return cluster.Start(ctx) })
	}
	return clusters, starting.Wait()
}

// startServer starts clusterpass-apiserver with its embedded etcd behind the hub.
func (e *environment) startServer(ctx context.Context, hub *testenv.Cluster) (*testenv.Server, error) {
	ports, err := testenv.FreePorts(1)
	if err != nil {
		return nil, err
	}
	server, err := testenv.NewServer(testenv.ServerConfig{
		Hub: hub, Dir: filepath.Join(e.dir, "clusterpass"), Port: ports[0], EmbeddedEtcd: true,
	})
	if err != nil {
		return nil, err
	}
	e.stop = append(e.stop, server.Stop)
	return server, server.Start(ctx)
}

// startFleet starts a hub with clusterpass-apiserver, and a member that is joined to it.
func (e *environment) startFleet(ctx context.Context) (hub, member *testenv.Cluster, err error) {
	clusters, err := e.startClusters(ctx, "hub", memberName)
	if err != nil {
		return nil, nil, err
	}
	hub, member = clusters[0], clusters[1]
	if _, err := e.startServer(ctx, hub); err != nil {
		return nil, nil, err
	}
	return hub, member, testenv.Join(ctx, hub, member, homeNamespace, memberName)
}

// newUser returns a client for the user name, whom it gives what rules say in the whole cluster.
func newUser(ctx context.Context, cluster *testenv.Cluster, name string, rules ...rbacv1.PolicyRule) (*client, error) {
	admin, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return nil, err
	}
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules}
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("rights of the user at %s: %w", cluster.Name(), err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{testenv.UserSubject(name)},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return nil, fmt.Errorf("rights of the user at %s: %w", cluster.Name(), err)
	}
	config, err := cluster.UserConfig(name)
	if err != nil {
		return nil, err
	}
	return newClient(config)
}
