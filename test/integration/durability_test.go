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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

// lonelyServer is a clusterpass-apiserver with an etcd of its own, behind the shared hub and not registered with it.
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
	if err := s.StartUnregistered(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.waitKnown(t)
}

// waitKnown waits until the server knows its clients. It reads the hub's client CA after it has become ready, and
// until then they are anonymous.
func (s *lonelyServer) waitKnown(t *testing.T) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := s.profiles(t, metav1.NamespaceDefault).List(ctx, metav1.ListOptions{})
		return err
	})
}

func (s *lonelyServer) profiles(t *testing.T, namespace string) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return testenv.Must[*inventory.Clientset](t)(inventory.NewForConfig(s.config)).ApisV1alpha1().ClusterProfiles(namespace)
}

// all returns the ClusterProfiles of a namespace by name, and the list's resourceVersion.
func (s *lonelyServer) all(t *testing.T, namespace string) (map[string]inventoryv1alpha1.ClusterProfile, int) {
	t.Helper()
	found := testenv.Must[*inventoryv1alpha1.ClusterProfileList](t)(s.profiles(t, namespace).List(t.Context(), metav1.ListOptions{}))
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
	profile := newProfile(fmt.Sprintf("profile-%04d", i), "durable")
	profile.Labels = map[string]string{"number": strconv.Itoa(i)}
	profile.Spec.DisplayName = strings.Repeat(fmt.Sprintf("number %d; ", i), 50)
	return profile
}

const (
	creates = 1000
	// killAfter is how many creates are acknowledged when the server is killed.
	killAfter = 400
	workers   = 8
	// patience is how many creates may end without an answer before: the server's etcd waits for the disk at each write, and gives up
	// after seven seconds on one that is busy with others.
	patience = 100
)

// createUntilKilled creates numbered profiles, kills the server in the middle, and returns what was acknowledged, and how many creates
// had ended without an answer before.
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
					if !killed.Load() {
						t.Error(err)
					}
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
				if err := s.Kill(); err != nil {
					t.Error(err)
				}
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
	if len(acknowledged) < killAfter || len(acknowledged) == creates {
		t.Fatalf("%d of %d creates were acknowledged: the kill was not in the middle", len(acknowledged), creates)
	}
	s.start(t)

	found, _ := s.all(t, namespace)
	for name, want := range acknowledged {
		got, ok := found[name]
		if !ok {
			t.Errorf("%s is lost", name)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-acknowledged +found):\n%s", name, diff)
		}
	}
	if more := len(found) - len(acknowledged); more > workers+unanswered {
		t.Errorf("%d objects more than were acknowledged, by %d workers, and %d creates without an answer", more, workers, unanswered)
	}
	for name, got := range found {
		want := numbered(testenv.Must[int](t)(strconv.Atoi(got.Labels["number"])))
		if name != want.Name || !cmp.Equal(want.Spec, got.Spec) || !cmp.Equal(want.Labels, got.Labels) || got.UID == "" || len(got.ManagedFields) != 1 {
			t.Errorf("%s is half there: %+v", name, got)
		}
	}
	t.Logf("%d acknowledged, %d found", len(acknowledged), len(found))

	t.Run("and a watch from before has to start over", func(t *testing.T) {
		w := testenv.Must[watch.Interface](t)(s.profiles(t, namespace).Watch(t.Context(), metav1.ListOptions{ResourceVersion: found["profile-0001"].ResourceVersion}))
		defer w.Stop()
		event := nextEvent(t, w)
		if err := apierrors.FromObject(event.Object); event.Type != watch.Error || !apierrors.IsResourceExpired(err) {
			t.Errorf("got %s %v, want 410", event.Type, err)
		}
	})
	t.Run("and a second server on the same data ends at once and says why", func(t *testing.T) {
		out, err := s.run(t, s.program.Args...)
		if err == nil || !strings.Contains(out, "folder "+s.etcdDir+" is in use by another process") {
			t.Errorf("got %v: %s", err, out)
		}
	})
}

// The server ends in order.
func TestServer_SIGTERM(t *testing.T) {
	ctx, namespace := t.Context(), newNamespace(t)
	s := newLonelyServer(t, filepath.Join(shared.Dir, "ended"))
	cmd, log, err := s.program.Command()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	exited := make(chan struct{})
	go func() {
		ended <- cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test fails
	if err := s.program.WaitReady(ctx, exited); err != nil {
		t.Fatal(err)
	}
	s.waitKnown(t)
	// A watch that nobody ends must not keep the server.
	w := testenv.Must[watch.Interface](t)(s.profiles(t, namespace).Watch(ctx, metav1.ListOptions{}))
	defer w.Stop()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, testenv.WaitTimeout)
	defer cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the server ended with %v", err)
		}
	case <-ctx.Done():
		t.Errorf("the server has not ended in %s", testenv.WaitTimeout)
	}
}

// A snapshot is taken from a running server, and restored.
func TestSnapshot(t *testing.T) {
	namespace := newNamespace(t)
	s := newLonelyServer(t, filepath.Join(shared.Dir, "saved"))
	s.start(t)
	for i := range 20 {
		testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(s.profiles(t, namespace).Create(t.Context(), numbered(i), metav1.CreateOptions{}))
	}
	page := testenv.Must[*inventoryv1alpha1.ClusterProfileList](t)(s.profiles(t, namespace).List(t.Context(), metav1.ListOptions{Limit: 1}))
	want, saved := s.all(t, namespace)
	file := filepath.Join(t.TempDir(), "snapshot")
	restoredDir := filepath.Join(shared.Dir, "restored")
	save := []string{"snapshot", "save", "--embedded-etcd-dir", s.etcdDir, file}
	restore := []string{"snapshot", "restore", "--embedded-etcd-dir", filepath.Join(restoredDir, "etcd"), file}

	if out, err := s.run(t, save...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if mode := testenv.Must[os.FileInfo](t)(os.Stat(file)).Mode().Perm(); mode != 0o600 {
		t.Errorf("the snapshot has mode %04o", mode)
	}
	if out, err := s.run(t, save...); err == nil || !strings.Contains(out, "is not written over") {
		t.Errorf("saving over a snapshot: %v: %s", err, out)
	}
	// The snapshot has this object, the server will not.
	if err := s.profiles(t, namespace).Delete(t.Context(), "profile-0007", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	restored := newLonelyServer(t, restoredDir)
	if out, err := s.run(t, restore...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := s.run(t, restore...); err == nil || !strings.Contains(out, "is not empty") {
		t.Errorf("restoring over data: %v: %s", err, out)
	}

	restored.start(t)
	got, revision := restored.all(t, namespace)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the objects (-saved +restored):\n%s", diff)
	}
	if revision <= saved {
		t.Errorf("the resourceVersion went from %d to %d: clients that watch would miss what comes", saved, revision)
	}
	if _, err := restored.profiles(t, namespace).List(t.Context(), metav1.ListOptions{Limit: 1, Continue: page.Continue}); !apierrors.IsResourceExpired(err) {
		t.Errorf("a list that began before the restore goes on: %v, want 410", err)
	}
	changed := got["profile-0007"]
	changed.Spec.DisplayName = "restored"
	testenv.Must[*inventoryv1alpha1.ClusterProfile](t)(restored.profiles(t, namespace).Update(t.Context(), &changed, metav1.UpdateOptions{}))
}
