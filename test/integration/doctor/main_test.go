// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package doctor tests that what is wrong with an installation is found, named and mended as it is said: on a real
// hub with a real member, one broken thing at a time.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const (
	startTimeout = 5 * time.Minute
)

// What the tests share. Each leaves it as it was.
var (
	hub, bravelion *testenv.Cluster
	server         *testenv.Server
	manager        *testenv.ControllerManager
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "clusterpass-doctor-")
	if err != nil {
		return 0, err
	}
	defer func() {
		stop()
		if code != 0 || err != nil {
			fmt.Fprintf(os.Stderr, "the files of the fleet, logs included, are kept in %s\n", dir)
			return
		}
		err = os.RemoveAll(dir)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := start(ctx, dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func start(ctx context.Context, dir string) (err error) {
	ports, err := testenv.FreePorts(10)
	if err != nil {
		return err
	}
	if hub, err = newCluster(dir, "hub", ports[:4]); err != nil {
		return err
	}
	if bravelion, err = newCluster(dir, "bravelion", ports[4:8]); err != nil {
		return err
	}
	var starting errgroup.Group
	starting.Go(func() error { return hub.Start(ctx) })
	starting.Go(func() error { return bravelion.Start(ctx) })
	if err := starting.Wait(); err != nil {
		return err
	}
	if server, err = testenv.NewServer(testenv.ServerConfig{Hub: hub, Dir: filepath.Join(dir, "server"), Port: ports[8]}); err != nil {
		return err
	}
	if err := server.Start(ctx); err != nil {
		return err
	}
	if err := testenv.Join(ctx, hub, bravelion, "default", "bravelion"); err != nil {
		return err
	}
	manager, err = testenv.NewControllerManager(testenv.ControllerManagerConfig{Hub: hub, Dir: filepath.Join(dir, "manager"), Port: ports[9]})
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

func newCluster(dir, name string, ports []int) (*testenv.Cluster, error) {
	return testenv.NewCluster(testenv.ClusterConfig{
		Name:          name,
		Dir:           filepath.Join(dir, name),
		Ports:         testenv.Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		UnsafeNoFsync: true,
	})
}

func stop() {
	if manager != nil {
		manager.Stop()
	}
	if server != nil {
		server.Stop()
	}
	for _, cluster := range []*testenv.Cluster{hub, bravelion} {
		if cluster != nil {
			cluster.Stop()
		}
	}
}

// options are those of an installation as testenv makes it.
func options() doctor.Options {
	return doctor.Options{
		ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser,
		Namespace: "default", Access: member.DefaultConfig(), MintNamespace: "default",
	}
}

var defaultBravelion = types.NamespacedName{Namespace: "default", Name: "bravelion"}

// diagnose runs all checks with the rights of config's user. Whatever is found, no token is told.
func diagnose(t *testing.T, config *rest.Config, options doctor.Options) []doctor.Finding {
	t.Helper()
	clients, err := doctor.NewClients(config)
	require.NoError(t, err)
	found := doctor.Run(t.Context(), clients, options)
	require.NotContains(t, printed(t, found), "eyJ", "it shows a token")
	return found
}

func printed(t *testing.T, found []doctor.Finding) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, doctor.Print(&out, found))
	return out.String()
}

// expected is a finding by parts of it.
type expected struct {
	check   string
	verdict doctor.Verdict
	about   string
	message string
	mend    string
}

func (e expected) is(f doctor.Finding) bool {
	return f.Check == e.check && f.Verdict == e.verdict && strings.Contains(f.About, e.about) &&
		strings.Contains(f.Message, e.message) && strings.Contains(f.Mend, e.mend)
}

// expect waits until the hub's admin finds what is expected.
func expect(t *testing.T, options doctor.Options, wanted expected) {
	t.Helper()
	eventually(t, options, func(found []doctor.Finding) error {
		if slices.ContainsFunc(found, wanted.is) {
			return nil
		}
		return fmt.Errorf("no %+v", wanted)
	})
}

// expectNothing waits until no check fails.
func expectNothing(t *testing.T) {
	t.Helper()
	eventually(t, options(), func(found []doctor.Finding) error {
		if doctor.Worst(found) == doctor.Fail {
			return errors.New("something fails")
		}
		return nil
	})
}

func eventually(t *testing.T, options doctor.Options, check func([]doctor.Finding) error) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) error {
		found := diagnose(t, hub.RESTConfig(), options)
		if err := check(found); err != nil {
			return fmt.Errorf("%w\n%s", err, printed(t, found))
		}
		return nil
	})
}

func kube(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(hub.RESTConfig())
	require.NoError(t, err)
	return client
}
