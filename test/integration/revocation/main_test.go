// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package revocation tests that what was granted stays as it was granted, and ends when its grant
// does: on real members, with the controller manager as it is deployed.
package revocation

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	clusterpassclient "clusterpass.dev/pkg/generated/clientset/versioned/typed/clusterpass/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const poll = 20 * time.Millisecond

// shared is a hub with two members, joined in namespace default.
var shared struct {
	testenv.Fleet
	// tokens are all that were minted.
	tokens []string
}

func TestMain(m *testing.M) {
	server := &testenv.ServerConfig{Args: []string{"--v=10"}}
	manager := &testenv.ControllerManagerConfig{Args: []string{
		"--v=10", "--member-sweep-period=2s", "--max-orphan-removals=5",
		// Nobody's profiles: no probes among the calls that are counted here.
		"--cluster-manager-name=nobody",
	}}
	shared.Main(m, testenv.FleetConfig{Members: 2, Server: server, Manager: manager, Prepare: func(context.Context) error {
		access, err := accessConfig(filepath.Join(shared.Dir, "plugin"))
		server.Args = append(server.Args, "--access-config="+access)
		manager.Args = append(manager.Args, "--access-config="+access)
		return err
	}})
}

// grants returns a client for the grants of a namespace.
func grants(t *testing.T, namespace string) clusterpassclient.AuthTokenGrantInterface {
	t.Helper()
	return shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(namespace)
}

// granted is a grant and a client that uses a token of it.
type granted struct {
	*clusterpassv1alpha1.AuthTokenGrant
	client kubernetes.Interface
}

// requestFor returns a request for view for account on the ClusterProfile default/cluster.
func requestFor(cluster, account string) *v1alpha1.AuthTokenRequest {
	return &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: cluster, Namespace: "default"},
		ServiceAccountNamespace: "default", ServiceAccountName: account, ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}},
	}}
}

// of has a request be for a ClusterProfile of another namespace.
func of(namespace string) func(*v1alpha1.AuthTokenRequestSpec) {
	return func(s *v1alpha1.AuthTokenRequestSpec) { s.TargetClusterProfile.Namespace = namespace }
}

// mint has the hub answer a request from namespace for account on the ClusterProfile
// default/cluster.
func mint(t *testing.T, namespace, cluster, account string, change func(*v1alpha1.AuthTokenRequestSpec)) granted {
	t.Helper()
	request := requestFor(cluster, account)
	if change != nil {
		change(&request.Spec)
	}
	answer := testenv.Create(t, shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests(namespace), request)
	shared.tokens = append(shared.tokens, answer.Status.Token)
	config := testenv.Must[*rest.Config](t)(clientcmd.RESTConfigFromKubeConfig(answer.Status.Kubeconfig))
	config.QPS = -1
	return granted{AuthTokenGrant: testenv.Get(t, grants(t, namespace), answer.Status.GrantName), client: testenv.Kube(t, config)}
}

// use uses the token of a grant of view.
func (g granted) use(ctx context.Context) error {
	_, err := g.client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{Limit: 1})
	return err
}

func deleteGrant(t *testing.T, g granted) {
	t.Helper()
	require.NoError(t, grants(t, g.Namespace).Delete(t.Context(), g.Name, metav1.DeleteOptions{}))
}

func newNamespace(t *testing.T, name string) {
	t.Helper()
	testenv.Create(t, shared.Hub.Kube(t).CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}
