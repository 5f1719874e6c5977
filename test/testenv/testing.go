// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startTimeout bounds the start of one cluster or server. Alone on two cores it takes about five
// seconds; a test machine may be starting several.
const startTimeout = 3 * time.Minute

// Options say what differs from a plain cluster in a test.
type Options struct {
	// Name of the cluster. Empty: hub.
	Name string
	// Audit writes an audit log of every request at level Metadata: Cluster.AuditLog.
	Audit bool
	// APIServerArgs are added to the arguments of kube-apiserver.
	APIServerArgs []string
}

// Start runs a cluster with fresh data on free ports until the test ends. The cluster's files, logs
// included, are kept when the test has failed, and the test's log says where.
func Start(t testing.TB, options Options) *Cluster {
	t.Helper()
	options.Name = cmp.Or(options.Name, "hub")
	config := Must[ClusterConfig](t)(clusterConfig(keptOnFailure(t, options.Name), options))
	cluster := Must[*Cluster](t)(NewCluster(config))
	start(t, cluster)
	return cluster
}

// clusterConfig returns how a cluster for tests is run, on free ports.
func clusterConfig(dir string, options Options) (ClusterConfig, error) {
	ports, err := FreePorts(4)
	if err != nil {
		return ClusterConfig{}, err
	}
	config := ClusterConfig{
		Name:          options.Name,
		Dir:           dir,
		Ports:         Ports{APIServer: ports[0], Etcd: ports[1], EtcdPeer: ports[2], ControllerManager: ports[3]},
		UnsafeNoFsync: true,
		APIServerArgs: options.APIServerArgs,
	}
	if options.Audit {
		config.AuditLog = filepath.Join(dir, "audit.log")
	}
	return config, nil
}

// StartServer runs clusterpass-apiserver behind the hub, registered with its aggregator, until the
// test ends. Options.Audit and Options.APIServerArgs of Start have their like in ServerConfig,
// whose other fields may be empty.
func StartServer(t testing.TB, hub *Cluster, config ServerConfig) *Server {
	t.Helper()
	config.Hub = hub
	if config.Dir == "" {
		config.Dir = keptOnFailure(t, serverName)
	}
	if config.Port == 0 {
		config.Port = Must[[]int](t)(FreePorts(1))[0]
	}
	server := Must[*Server](t)(NewServer(config))
	start(t, server)
	return server
}

// start runs a cluster or a server until the test ends.
func start(t testing.TB, s interface {
	Start(context.Context) error
	Stop()
},
) {
	t.Helper()
	t.Cleanup(s.Stop)
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	require.NoError(t, s.Start(ctx))
}

// keptOnFailure returns a new directory that is removed after the test, unless that has failed.
func keptOnFailure(t testing.TB, name string) string {
	t.Helper()
	dir := Must[string](t)(os.MkdirTemp("", "clusterpass-"+name+"-"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the files of %s, logs included, are kept in %s", name, dir)
			return
		}
		assert.NoError(t, os.RemoveAll(dir))
	})
	return dir
}
