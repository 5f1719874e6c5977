// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sync/errgroup"

	"clusterpass.dev/test/testenv"
)

// kueueCluster is what MultiKueue needs on a cluster of the fleet.
type kueueCluster struct {
	kueue *testenv.Kueue
	// kubelet plays that of a member; the hub runs no Jobs and has none.
	kubelet *testenv.Program
}

// newKueueClusters prepares Kueue on the hub and on each member, and a stand-in for each member's
// kubelet.
func newKueueClusters(s settings, hub *testenv.Cluster, members []*testenv.Cluster) ([]kueueCluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := s.rememberDispatching(); err != nil {
		return nil, err
	}
	kueue, err := newKueue(s, hub, 0, testenv.KueueManager)
	if err != nil {
		return nil, err
	}
	clusters := []kueueCluster{{kueue: kueue}}
	for i, member := range members {
		kueue, err := newKueue(s, member, i+1, testenv.KueueWorker)
		if err != nil {
			return nil, err
		}
		kubelet := member.KubeletProgram(self, s.kubeletPort(i+1))
		clusters = append(clusters, kueueCluster{kueue: kueue, kubelet: &kubelet})
	}
	return clusters, nil
}

// rememberDispatching has later calls that do not ask for anything leave Kueue as it is.
func (s settings) rememberDispatching() error {
	if s.byPlacement {
		return os.WriteFile(s.dispatching(), nil, 0o600)
	}
	if err := os.Remove(s.dispatching()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func newKueue(s settings, cluster *testenv.Cluster, i int, role testenv.KueueRole) (*testenv.Kueue, error) {
	config := testenv.KueueConfig{
		Cluster: cluster, Role: role, Dir: s.kueueDir(cluster.Name()), Logs: s.logs(), Ports: s.kueuePorts(i),
	}
	if s.byPlacement && role == testenv.KueueManager {
		config.Edit = testenv.DispatchByPlacement
	}
	return testenv.NewKueue(config)
}

// programs returns those that run for MultiKueue on the cluster.
func (c kueueCluster) programs() ([]testenv.Program, error) {
	kueue, err := c.kueue.Program()
	if err != nil {
		return nil, err
	}
	programs := []testenv.Program{kueue}
	if c.kubelet != nil {
		programs = append(programs, *c.kubelet)
	}
	return programs, nil
}

// upKueue brings up what MultiKueue needs on all clusters, side by side.
func (f *fleet) upKueue(ctx context.Context, r *runner) error {
	if len(f.kueue) == 0 {
		return nil
	}
	r.report.printf("starting what does not run of Kueue")
	group, ctx := errgroup.WithContext(ctx)
	for _, cluster := range f.kueue {
		group.Go(func() error {
			if err := cluster.kueue.Install(ctx); err != nil {
				return err
			}
			programs, err := cluster.programs()
			if err != nil {
				return err
			}
			return r.ensureAll(ctx, programs...)
		})
	}
	return group.Wait()
}
