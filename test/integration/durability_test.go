// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// lonelyServer is a clusterpass-apiserver with an etcd of its own, behind the shared hub and not
// registered with it.
type lonelyServer struct {
	*testenv.Server
	program testenv.Program
	etcdDir string
	config  *rest.Config
}

// newLonelyServer prepares a server with its data in dir, and starts nothing.
func newLonelyServer(t *testing.T, dir string) *lonelyServer {
	t.Helper()
	ports := testenv.Must[[]int](t)(testenv.FreePorts(1))
	server := testenv.Must[*testenv.Server](t)(testenv.NewServer(testenv.ServerConfig{
		Hub: shared.Hub, Dir: dir, Port: ports[0], EmbeddedEtcd: true,
	}))
	return &lonelyServer{
		Server:  server,
		program: testenv.Must[testenv.Program](t)(server.Program()),
		etcdDir: filepath.Join(dir, "etcd"),
		config:  testenv.Must[*rest.Config](t)(server.DirectConfig("admin", "system:masters")),
	}
}

// start runs the server until the test ends and waits until it serves.
func (s *lonelyServer) start(t *testing.T) {
	t.Helper()
	t.Cleanup(s.Stop)
	require.NoError(t, s.StartUnregistered(t.Context()))
	s.waitKnown(t)
}

// waitKnown waits until the server knows its clients. It reads the hub's client CA after it has
// become ready, and until then they are anonymous.
func (s *lonelyServer) waitKnown(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := s.profiles(t, metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
		return err
	})
}

func (s *lonelyServer) profiles(t *testing.T, namespace string) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return testenv.Inventory(t, s.config).ApisV1alpha1().ClusterProfiles(namespace)
}

// all returns the ClusterProfiles of a namespace by name, and the list's resourceVersion.
func (s *lonelyServer) all(t *testing.T, namespace string) (map[string]inventoryv1alpha1.ClusterProfile, int) {
	t.Helper()
	found := testenv.List(t, s.profiles(t, namespace), metav1.ListOptions{})
	byName := map[string]inventoryv1alpha1.ClusterProfile{}
	for _, profile := range found.Items {
		byName[profile.Name] = profile
	}
	return byName, testenv.Must[int](t)(strconv.Atoi(found.ResourceVersion))
}

// run runs the server's program with arguments to its end and returns what it printed.
func (s *lonelyServer) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testenv.WaitTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.program.Path, args...).CombinedOutput()
	return string(out), err
}

// numbered returns a profile whose whole content follows from its number.
func numbered(i int) *inventoryv1alpha1.ClusterProfile {
	profile := testenv.NewProfile(fmt.Sprintf("profile-%04d", i), "durable")
	profile.Labels = map[string]string{"number": strconv.Itoa(i)}
	profile.Spec.DisplayName = strings.Repeat(fmt.Sprintf("number %d; ", i), 50)
	return profile
}

const (
	creates = 1000
	// killAfter is how many creates are acknowledged when the server is killed.
	killAfter = 400
	workers   = 8
	// patience is how many creates may end without an answer before: the server's etcd waits for the
	// disk at each write, and gives up after seven seconds on one that is busy with others.
	patience = 100
)

// createUntilKilled creates numbered profiles, kills the server in the middle, and returns what was
// acknowledged, and how many creates had ended without an answer before.
func createUntilKilled(t *testing.T, s *lonelyServer, namespace string) (map[string]inventoryv1alpha1.ClusterProfile, int) {
	t.Helper()
	client := s.profiles(t, namespace)
	acknowledged := map[string]inventoryv1alpha1.ClusterProfile{}
	var mu sync.Mutex
	var next, unanswered atomic.Int64
	var killed atomic.Bool
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for i := int(next.Add(1)); i <= creates; i = int(next.Add(1)) {
				created, err := client.Create(t.Context(), numbered(i), metav1.CreateOptions{})
				if err != nil && !killed.Load() && strings.Contains(err.Error(), "etcdserver: request timed out") && unanswered.Add(1) <= patience {
					continue
				}
				if err != nil {
					assert.True(t, killed.Load(), "%v", err)
					return
				}
				mu.Lock()
				acknowledged[created.Name] = *created
				enough := len(acknowledged) == killAfter
				mu.Unlock()
				if !enough {
					continue
				}
				killed.Store(true)
				assert.NoError(t, s.Kill())
			}
		})
	}
	working.Wait()
	return acknowledged, int(unanswered.Load())
}

// What was acknowledged survives.
func TestServer_SIGKILL(t *testing.T) {
	namespace := newNamespace(t)
	s := newLonelyServer(t, filepath.Join(shared.Dir, "killed"))
	s.start(t)
	acknowledged, unanswered := createUntilKilled(t, s, namespace)
	require.GreaterOrEqual(t, len(acknowledged), killAfter)
	require.Less(t, len(acknowledged), creates, "the kill was not in the middle")
	s.start(t)

	found, _ := s.all(t, namespace)
	for name, want := range acknowledged {
		assert.Empty(t, cmp.Diff(want, found[name]), "%s (-acknowledged +found)", name)
	}
	assert.LessOrEqual(t, len(found)-len(acknowledged), workers+unanswered, "objects more than were acknowledged")
	for name, got := range found {
		want := numbered(testenv.Must[int](t)(strconv.Atoi(got.Labels["number"])))
		assert.Equal(t, want.Name, name)
		assert.Equal(t, want.Spec, got.Spec, name)
		assert.Equal(t, want.Labels, got.Labels, name)
		assert.NotEmpty(t, got.UID, name)
		assert.Len(t, got.ManagedFields, 1, name)
	}
	t.Logf("%d acknowledged, %d found", len(acknowledged), len(found))

	t.Run("and a watch from before has to start over", func(t *testing.T) {
		w := testenv.Must[watch.Interface](t)(s.profiles(t, namespace).Watch(t.Context(),
			metav1.ListOptions{ResourceVersion: found["profile-0001"].ResourceVersion}))
		defer w.Stop()
		event := nextEvent(t, w)
		err := apierrors.FromObject(event.Object)
		assert.Equal(t, watch.Error, event.Type)
		assert.True(t, apierrors.IsResourceExpired(err), "%v", err)
	})
	t.Run("and a second server on the same data ends at once and says why", func(t *testing.T) {
		out, err := s.run(t, s.program.Args...)
		assert.Error(t, err, out)
		assert.Contains(t, out, "folder "+s.etcdDir+" is in use by another process")
	})
}

// The server ends in order.
func TestServer_SIGTERM(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	s := newLonelyServer(t, filepath.Join(shared.Dir, "ended"))
	cmd, log, err := s.program.Command()
	require.NoError(t, err)
	defer log.Close()
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		ended <- cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test fails
	require.NoError(t, s.program.WaitReady(ctx, exited))
	s.waitKnown(t)
	// A watch that nobody ends must not keep the server.
	w := testenv.Must[watch.Interface](t)(s.profiles(t, namespace).Watch(ctx, metav1.ListOptions{}))
	defer w.Stop()
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	ctx, cancel := context.WithTimeout(ctx, testenv.WaitTimeout)
	defer cancel()
	select {
	case err := <-ended:
		assert.NoError(t, err)
	case <-ctx.Done():
		assert.Fail(t, "the server has not ended in time")
	}
}

// A snapshot is taken from a running server, and restored.
func TestSnapshot(t *testing.T) {
	namespace := newNamespace(t)
	s := newLonelyServer(t, filepath.Join(shared.Dir, "saved"))
	s.start(t)
	for i := range 20 {
		testenv.Create(t, s.profiles(t, namespace), numbered(i))
	}
	page := testenv.List(t, s.profiles(t, namespace), metav1.ListOptions{Limit: 1})
	want, saved := s.all(t, namespace)
	file := filepath.Join(t.TempDir(), "snapshot")
	restoredDir := filepath.Join(shared.Dir, "restored")
	save := []string{"snapshot", "save", "--embedded-etcd-dir", s.etcdDir, file}
	restore := []string{"snapshot", "restore", "--embedded-etcd-dir", filepath.Join(restoredDir, "etcd"), file}

	out, err := s.run(t, save...)
	require.NoError(t, err, out)
	assert.Equal(t, os.FileMode(0o600), testenv.Must[os.FileInfo](t)(os.Stat(file)).Mode().Perm())
	out, err = s.run(t, save...)
	assert.Error(t, err, "saving over a snapshot")
	assert.Contains(t, out, "is not written over")
	// The snapshot has this object, the server will not.
	require.NoError(t, s.profiles(t, namespace).Delete(t.Context(), "profile-0007", metav1.DeleteOptions{}))
	restored := newLonelyServer(t, restoredDir)
	out, err = s.run(t, restore...)
	require.NoError(t, err, out)
	out, err = s.run(t, restore...)
	assert.Error(t, err, "restoring over data")
	assert.Contains(t, out, "is not empty")

	restored.start(t)
	got, revision := restored.all(t, namespace)
	assert.Empty(t, cmp.Diff(want, got), "-saved +restored")
	assert.Greater(t, revision, saved, "clients that watch would miss what comes")
	_, err = restored.profiles(t, namespace).List(t.Context(), metav1.ListOptions{Limit: 1, Continue: page.Continue})
	assert.True(t, apierrors.IsResourceExpired(err), "a list that began before the restore goes on: %v", err)
	changed := got["profile-0007"]
	changed.Spec.DisplayName = "restored"
	testenv.Update(t, restored.profiles(t, namespace), &changed)
}
