// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/rest"
)

const (
	etcdName              = "etcd"
	apiServerName         = "kube-apiserver"
	controllerManagerName = "kube-controller-manager"
)

// Ports are those of one cluster, all at 127.0.0.1.
type Ports struct {
	APIServer, Etcd, EtcdPeer, ControllerManager int
}

// ClusterConfig says how a cluster is to be run.
type ClusterConfig struct {
	// Name is that of the cluster: the context in its kubeconfig and the first part of its programs'
	// names.
	Name string
	// Dir keeps certificates and data. It is created, for its owner only; what is there is used again.
	Dir string
	// Kubeconfig is the file for the admin. Empty: admin.yaml in Dir.
	Kubeconfig string
	// Logs is the directory of the programs' logs. Empty: logs in Dir.
	Logs  string
	Ports Ports
	// AuditLog is the file for one line of JSON per request, at level Metadata. Empty: none is
	// written.
	AuditLog string
	// UnsafeNoFsync makes etcd fast at the price of its data after a crash of the machine. For tests.
	UnsafeNoFsync bool
	// APIServerArgs are added to the arguments of kube-apiserver.
	APIServerArgs []string
}

// Cluster is a Kubernetes control plane without nodes: etcd, kube-apiserver and
// kube-controller-manager.
type Cluster struct {
	config ClusterConfig
	pki    *clusterPKI
	admin  *rest.Config
	group  group
}

// NewCluster prepares everything on disk that the cluster's programs need, and starts nothing.
func NewCluster(config ClusterConfig) (*Cluster, error) {
	config.Kubeconfig = cmp.Or(config.Kubeconfig, filepath.Join(config.Dir, "admin.yaml"))
	config.Logs = cmp.Or(config.Logs, filepath.Join(config.Dir, "logs"))
	for _, dir := range []string{config.Dir, filepath.Dir(config.Kubeconfig), config.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	pki, err := loadOrCreateClusterPKI(filepath.Join(config.Dir, "pki"), config.Name)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: %w", config.Name, err)
	}
	c := &Cluster{config: config, pki: pki}
	if err := c.writeKubeconfigs(); err != nil {
		return nil, fmt.Errorf("cluster %s: %w", config.Name, err)
	}
	return c, nil
}

// Name returns the name of the cluster.
func (c *Cluster) Name() string { return c.config.Name }

// Dir returns the directory with the cluster's data.
func (c *Cluster) Dir() string { return c.config.Dir }

// Server returns the URL of kube-apiserver.
func (c *Cluster) Server() string { return httpsURL(c.config.Ports.APIServer) }

// CA returns the PEM bundle that kube-apiserver's certificate is verified with.
func (c *Cluster) CA() []byte { return c.pki.ca.bundle() }

// AuditLog returns the path of the audit log, empty if none is written.
func (c *Cluster) AuditLog() string { return c.config.AuditLog }

// Kubeconfig returns the path of the admin's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.config.Kubeconfig }

// RESTConfig returns a client config for the admin (group system:masters), the caller's to change.
// It sets no limit on the client's rate.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// Start runs the cluster as children of this process and waits until it serves. After an error,
// Stop ends what was started.
func (c *Cluster) Start(ctx context.Context) error {
	programs, err := c.Programs()
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := c.group.start(ctx, program); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends what Start started. Data stays.
func (c *Cluster) Stop() { c.group.stopAll() }

// Kill ends one process (etcd, kube-apiserver or kube-controller-manager) with SIGKILL.
func (c *Cluster) Kill(name string) error { return c.group.kill(c.programName(name)) }

// Restart stops one process (etcd, kube-apiserver or kube-controller-manager), if it still runs,
// starts it again and waits until it serves.
func (c *Cluster) Restart(ctx context.Context, name string) error {
	return c.group.restart(ctx, c.programName(name))
}

// programName keeps the programs of several clusters apart in one directory of logs or records.
func (c *Cluster) programName(name string) string {
	return c.config.Name + "-" + name
}
