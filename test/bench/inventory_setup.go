// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/test/testenv"
)

// servedTimeout bounds the wait for ClusterProfiles to be served to a user whose rights were just
// written.
const servedTimeout = time.Minute

// startInventory starts what is needed on both sides.
func startInventory(ctx context.Context, s settings, env *environment) (*inventory, error) {
	clusters, err := env.startClusters(ctx, "hub", "plain")
	if err != nil {
		return nil, err
	}
	hub, plain := clusters[0], clusters[1]
	server, err := env.startServer(ctx, hub)
	if err != nil {
		return nil, err
	}
	if err := installCRDs(ctx, plain); err != nil {
		return nil, err
	}
	b := &inventory{settings: s}
	for side, cluster := range clusters {
		if err := createNamespaces(ctx, cluster, fleetNamespace, warmUpNamespace); err != nil {
			return nil, err
		}
		if b.clients[side], err = newUser(ctx, cluster, benchUser, managerRule()); err != nil {
			return nil, err
		}
		if err := waitServed(ctx, b.clients[side]); err != nil {
			return nil, err
		}
	}
	if b.processes, err = inventoryProcesses(server, hub, plain); err != nil {
		return nil, err
	}
	return b, nil
}

// managerRule is what a cluster manager may do.
func managerRule() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		APIGroups: []string{inventoryv1alpha1.Group},
		Resources: []string{"clusterprofiles", "clusterprofiles/status"},
		Verbs:     []string{"get", "list", "watch", "create", "update", "patch", "delete"},
	}
}

// installCRDs makes the cluster serve upstream's kinds the way they are installed today.
func installCRDs(ctx context.Context, cluster *testenv.Cluster) error {
	client, err := apiextensions.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return err
	}
	crds, err := crd.Load(ctx)
	if err != nil {
		return err
	}
	for _, crd := range crds {
		if _, err := client.ApiextensionsV1().CustomResourceDefinitions().Create(ctx, crd, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("CRD %s at %s: %w", crd.Name, cluster.Name(), err)
		}
	}
	return nil
}

func createNamespaces(ctx context.Context, cluster *testenv.Cluster, names ...string) error {
	client, err := kubernetes.NewForConfig(cluster.RESTConfig())
	if err != nil {
		return err
	}
	for _, name := range names {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("namespace %s at %s: %w", name, cluster.Name(), err)
		}
	}
	return nil
}

// waitServed waits until the user can list ClusterProfiles.
func waitServed(ctx context.Context, c *client) error {
	var lastErr error
	err := wait.PollUntilContextTimeout(ctx, time.Second, servedTimeout, true, func(ctx context.Context) (bool, error) {
		lastErr = c.send(ctx, request{method: http.MethodGet, path: profilesPath(fleetNamespace)}, io.Discard)
		return lastErr == nil, nil
	})
	if err != nil {
		return fmt.Errorf("ClusterProfiles at %s: %w (%w)", c.host, err, lastErr)
	}
	return nil
}

// inventoryProcesses returns those whose memory is compared.
func inventoryProcesses(server *testenv.Server, hub, plain *testenv.Cluster) (processes, error) {
	serverPID, err := server.PID()
	if err != nil {
		return nil, err
	}
	watched := processes{{Name: "clusterpass-apiserver, its etcd included", pid: serverPID}}
	for _, other := range []struct {
		name, program string
		cluster       *testenv.Cluster
	}{
		{"kube-apiserver of the hub", "kube-apiserver", hub},
		{"kube-apiserver with the CRD", "kube-apiserver", plain},
		{"its etcd", "etcd", plain},
	} {
		pid, err := other.cluster.PID(other.program)
		if err != nil {
			return nil, err
		}
		watched = append(watched, process{Name: other.name, pid: pid})
	}
	return watched, nil
}
