// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"errors"
	"path/filepath"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	serverName = "clusterpass-apiserver"
	// SystemNamespace is where clusterpass lives, on the hub and on members.
	SystemNamespace = "clusterpass-system"
	// serverHost is the name that the aggregator expects in the server's certificate.
	serverHost = serverName + "." + SystemNamespace + ".svc"
)

// ServerConfig says how clusterpass-apiserver is to be run.
type ServerConfig struct {
	// Hub is the cluster that the server is registered with and asks about authentication and
	// authorization.
	Hub *Cluster
	// Dir keeps certificates, the hub kubeconfig and the embedded etcd. It is created, for its owner
	// only; what is there is used again.
	Dir string
	// Logs is the directory of the program's log. Empty: logs in Dir.
	Logs string
	// Port of the API at 127.0.0.1.
	Port int
	// AuditPolicy is the file with the audit policy for AuditLog. Both empty: no audit log.
	AuditPolicy, AuditLog string
	// EmbeddedEtcd has the server keep its data in an etcd of its own, in Dir, which syncs to disk.
	// Otherwise the data is in the hub's etcd, under EtcdPrefix, and as safe as the hub's own.
	EmbeddedEtcd bool
	// GroupVersions are those that the hub's aggregator is to forward to the server. Empty:
	// GroupVersions of this package, which are all.
	GroupVersions []schema.GroupVersion
	// ReadyPath is what has to answer 200 once the server is started. Empty: /readyz. A server that
	// the hub keeps from being ready is /livez all the same.
	ReadyPath string
	// Args are added to the arguments of clusterpass-apiserver.
	Args []string
}

// Server is clusterpass-apiserver behind a hub. After a Restart the hub's aggregator may go on
// answering 503 for it, or begin to, until Register.
type Server struct {
	config ServerConfig
	served
}

// NewServer prepares everything on disk that the server needs, and starts nothing.
func NewServer(config ServerConfig) (*Server, error) {
	log := filepath.Join(cmp.Or(config.Logs, filepath.Join(config.Dir, "logs")), serverName+".log")
	config.ReadyPath = cmp.Or(config.ReadyPath, "/readyz")
	if len(config.GroupVersions) == 0 {
		config.GroupVersions = GroupVersions
	}
	s := &Server{config: config, served: served{
		single: single{name: serverName, log: log}, hub: config.Hub, dir: config.Dir, port: config.Port,
	}}
	return s, s.prepare(serverName, serverHost)
}

// Start applies the server's RBAC and flow control to the hub, runs the server as a child of this
// process, registers it with the hub's aggregator and waits until that forwards requests. After an
// error, Stop ends what was started.
func (s *Server) Start(ctx context.Context) error {
	if err := errors.Join(s.ApplyRBAC(ctx), s.ApplyFlowControl(ctx)); err != nil {
		return err
	}
	if err := s.StartUnregistered(ctx); err != nil {
		return err
	}
	return s.Register(ctx)
}

// StartUnregistered runs the server as a child of this process and waits until it serves. The hub,
// which must have the server's RBAC, stays as it is: clients reach the server by DirectConfig
// alone.
func (s *Server) StartUnregistered(ctx context.Context) error {
	program, err := s.Program()
	if err != nil {
		return err
	}
	return s.group.start(ctx, program)
}

// ApplyRBAC gives the server's hub identity what artifacts/deploy/rbac gives it in a deployment,
// and no more.
func (s *Server) ApplyRBAC(ctx context.Context) error {
	return applyKustomization(ctx, s.config.Hub, "artifacts/deploy/rbac")
}

// ApplyFlowControl has the hub serve the server's reviews by a priority level of their own, as in a
// deployment. Without it, requests that wait for reviews may hold all the seats that the reviews
// wait for.
func (s *Server) ApplyFlowControl(ctx context.Context) error {
	return applyKustomization(ctx, s.config.Hub, "artifacts/deploy/flowcontrol")
}

// Register registers the server's group-versions with the hub's aggregator and waits until that
// forwards requests. After a Restart it has the aggregator look at the server anew.
func (s *Server) Register(ctx context.Context) error {
	return RegisterAPIServices(ctx, s.config.Hub.RESTConfig(), s.config.Port, s.ca.bundle(), s.config.GroupVersions...)
}

// Dir returns the directory with the server's data.
func (s *Server) Dir() string { return s.config.Dir }

// EtcdPrefix returns what the keys of the server's data begin with in the hub's etcd. Each server
// of a hub has its own.
func (s *Server) EtcdPrefix() string { return "/clusterpass-" + strconv.Itoa(s.config.Port) }

// Program returns the server's program. The hub has to serve before it is started.
func (s *Server) Program() (Program, error) {
	path, err := ServerPath()
	if err != nil {
		return Program{}, err
	}
	args := append(s.config.Hub.EtcdArgs(), "--etcd-prefix="+s.EtcdPrefix())
	if s.config.EmbeddedEtcd {
		args = []string{"--embedded-etcd-dir=" + filepath.Join(s.config.Dir, "etcd")}
	}
	var inputs []string
	if s.config.AuditPolicy != "" {
		args = append(args, auditArgs(s.config.AuditPolicy, s.config.AuditLog)...)
		inputs = []string{s.config.AuditPolicy}
	}
	program := s.program(path, s.config.ReadyPath, append(args, s.config.Args...)...)
	program.Inputs = inputs
	return program, nil
}
