// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package upgrade

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/testenv"
)

// front is the Service before replicas: it forwards connections to one of them.
type front struct {
	listener net.Listener

	mu   sync.Mutex
	port int
	open []net.Conn
}

func newFront(t *testing.T, port int) *front {
	t.Helper()
	f := &front{listener: testenv.Must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0")), port: port}
	t.Cleanup(func() {
		_ = f.listener.Close()
		f.lead(0)
	})
	go func() {
		for {
			connection, err := f.listener.Accept()
			if err != nil {
				return
			}
			go f.forward(connection)
		}
	}()
	return f
}

func (f *front) forward(from net.Conn) {
	f.mu.Lock()
	to, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
	if err != nil {
		_ = from.Close()
		f.mu.Unlock()
		return
	}
	f.open = append(f.open, from, to)
	f.mu.Unlock()
	go func() { _, _ = io.Copy(to, from); _ = to.Close() }()
	_, _ = io.Copy(from, to)
	_ = from.Close()
}

// lead has the front lead to another replica, and ends the connections to the one before.
func (f *front) lead(port int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.port = port
	for _, connection := range f.open {
		_ = connection.Close()
	}
	f.open = nil
}

// TestUpgrade_NamespaceDeletion is about replicas of both releases behind the APIService of
// v1alpha2, which the release before answers with 404: the hub takes that for an API without
// objects. So docs/operations.md rolls the servers out first.
func TestUpgrade_NamespaceDeletion(t *testing.T) {
	hub, dir := testenv.Start(t, testenv.Options{}), t.TempDir()
	ports := testenv.Must[[]int](t)(testenv.FreePorts(2))
	ctx, cancel := context.WithTimeout(t.Context(), 2*testenv.WaitTimeout)
	defer cancel()
	var direct *rest.Config
	for i, program := range []string{serverOf(t, releaseBefore), testenv.Must[string](t)(testenv.ServerPath())} {
		t.Setenv(testenv.ServerEnv, program)
		server := testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
			Hub: hub, Dir: dir, Logs: filepath.Join(dir, strconv.Itoa(i)), Port: ports[i], Args: []string{"--etcd-prefix=/replicas"},
		}))
		t.Cleanup(server.Stop)
		require.NoError(t, server.ApplyRBAC(ctx))
		require.NoError(t, server.StartUnregistered(ctx))
		direct = testenv.Must[*rest.Config](t)(server.DirectConfig("admin", "system:masters"))
	}
	service := newFront(t, ports[1])
	port := service.listener.Addr().(*net.TCPAddr).Port
	require.NoError(t, testenv.RegisterAPIServices(ctx, hub.RESTConfig(), port, direct.CAData, later, earlier, own))

	// The hub looks every half a minute whether v1alpha2 is there, and deletes no namespace if not.
	// What is deleted between two looks shows it.
	var err error
	for attempt := 0; ; attempt++ {
		require.NoError(t, ctx.Err(), "no profile is left of a namespace: %v", err)
		var left bool
		left, err = deleteNamespace(ctx, t, hub, fmt.Sprintf("fleet-%d", attempt),
			func() { service.lead(ports[0]) }, func() { service.lead(ports[1]) })
		if left {
			return
		}
	}
}

// deleteNamespace deletes a namespace with a profile while the release before answers. It returns
// whether the profile is there when the namespace is made again.
func deleteNamespace(ctx context.Context, t *testing.T, hub *testenv.Cluster, name string, before, today func()) (bool, error) {
	t.Helper()
	namespaces, profiles := hub.Kube(t).CoreV1().Namespaces(), hub.Inventory(t).ApisV1alpha1().ClusterProfiles(name)
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := namespaces.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return false, err
	}
	if _, err := profiles.Create(ctx, testenv.NewProfile("left", "upgrade"), metav1.CreateOptions{}); err != nil {
		return false, err
	}
	before()
	defer today()
	if err := namespaces.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return false, err
	}
	// It goes at once, or not before v1alpha2 is back.
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return false, err
	}
	today()
	if _, err := namespaces.Create(ctx, object, metav1.CreateOptions{}); err != nil {
		return false, err
	}
	_, err = profiles.Get(ctx, "left", metav1.GetOptions{})
	return err == nil, err
}
