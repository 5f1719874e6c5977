// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"clusterpass.dev/test/testenv"
)

const (
	upTimeout   = 5 * time.Minute
	downTimeout = time.Minute
	// profileNamespace is where the members are ClusterProfiles.
	profileNamespace = "default"
	// auditPolicy is the policy that deployments of clusterpass-apiserver use.
	auditPolicy = "artifacts/deploy/base/audit-policy.yaml"
)

// fleet is what runs: the clusters, and clusterpass on the first.
type fleet struct {
	hub     *testenv.Cluster
	members []*testenv.Cluster
	server  *testenv.Server
	manager *testenv.ControllerManager
	// kueue is empty in a fleet without Kueue, else there is one for each cluster.
	kueue []kueueCluster
}

// newFleet prepares the fleet's files and starts nothing.
func newFleet(s settings) (*fleet, error) {
	hub, err := newCluster(s, hubName, 0)
	if err != nil {
		return nil, err
	}
	if err := writeUser(s, hub); err != nil {
		return nil, err
	}
	f := &fleet{hub: hub}
	for i, name := range memberNames {
		member, err := newCluster(s, name, i+1)
		if err != nil {
			return nil, err
		}
		f.members = append(f.members, member)
	}
	config := testenv.ServerConfig{
		Hub: hub, Dir: filepath.Join(s.dir, "clusterpass"), Logs: s.logs(), Port: s.serverPort(), EmbeddedEtcd: true,
	}
	if policy := filepath.Join(s.root, auditPolicy); exists(policy) {
		config.AuditPolicy = policy
		config.AuditLog = filepath.Join(s.logs(), "clusterpass-apiserver-audit.log")
	}
	if s.kueue {
		if f.kueue, err = newKueueClusters(s, hub, f.members); err != nil {
			return nil, err
		}
	}
	if f.server, err = testenv.NewServer(config); err != nil {
		return nil, err
	}
	f.manager, err = testenv.NewControllerManager(testenv.ControllerManagerConfig{
		Hub:  hub,
		Dir:  filepath.Join(s.dir, "clusterpass-controller-manager"),
		Logs: s.logs(),
		Port: s.managerPort(),
		// Somebody watches: an outage, or a device that is taken, is to show within seconds.
		Args: []string{"--member-probe-period=3s", "--cluster-profile-write-interval=3s", "--score-period=3s"},
	})
	return f, err
}

func newCluster(s settings, name string, i int) (*testenv.Cluster, error) {
	return testenv.NewCluster(testenv.ClusterConfig{
		Name:       name,
		Dir:        s.clusterDir(name),
		Kubeconfig: s.kubeconfig(name),
		Logs:       s.logs(),
		Ports:      s.clusterPorts(i),
		AuditLog:   filepath.Join(s.logs(), name+"-audit.log"),
	})
}

// up starts what does not run, joins the members if they are to be joined, leaves those that are
// joined as they are, and prints how to use the fleet.
func up(ctx context.Context, s settings, joined bool, out io.Writer) error {
	return locked(ctx, s, upTimeout, out, func(ctx context.Context, report *progress) error {
		f, err := newFleet(s)
		if err != nil {
			return err
		}
		if err := f.up(ctx, &runner{records: s.records(), report: report}); err != nil {
			return err
		}
		if !joined {
			report.printf("the fleet runs. To use it:")
			return writeExports(s, out)
		}
		if err := f.join(ctx, s, report); err != nil {
			return err
		}
		if err := applyUserRole(ctx, s, f.hub); err != nil {
			return err
		}
		report.printf("the fleet is ready: ClusterProfiles %s in namespace %s of the hub. To use it:",
			strings.Join(memberNames, " and "), profileNamespace)
		return writeExports(s, out)
	})
}

// up brings up the clusters side by side, then the server, which needs the hub, then the controller
// manager, which needs the server, then Kueue, if the fleet is to have it.
func (f *fleet) up(ctx context.Context, r *runner) error {
	r.report.printf("starting what does not run of hub, %s, clusterpass-apiserver and clusterpass-controller-manager",
		strings.Join(memberNames, ", "))
	group, groupCtx := errgroup.WithContext(ctx)
	for _, cluster := range append([]*testenv.Cluster{f.hub}, f.members...) {
		group.Go(func() error { return upCluster(groupCtx, r, cluster) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if err := f.upServer(ctx, r); err != nil {
		return err
	}
	if err := f.upManager(ctx, r); err != nil {
		return err
	}
	return f.upKueue(ctx, r)
}

func upCluster(ctx context.Context, r *runner, cluster *testenv.Cluster) error {
	programs, err := cluster.Programs()
	if err != nil {
		return err
	}
	return r.ensureAll(ctx, programs...)
}

func (f *fleet) upServer(ctx context.Context, r *runner) error {
	if err := errors.Join(f.server.ApplyRBAC(ctx), f.server.ApplyFlowControl(ctx)); err != nil {
		return err
	}
	program, err := f.server.Program()
	if err != nil {
		return err
	}
	if err := r.ensureAll(ctx, program); err != nil {
		return err
	}
	r.report.printf("registering clusterpass-apiserver with the hub")
	return f.server.Register(ctx)
}

func (f *fleet) upManager(ctx context.Context, r *runner) error {
	program, err := f.manager.Program()
	if err != nil {
		return err
	}
	return r.ensureAll(ctx, program)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
