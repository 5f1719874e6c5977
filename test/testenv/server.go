// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

const (
	serverName = "clusterpass-apiserver"
	// SystemNamespace is where clusterpass lives, on the hub and on members.
	SystemNamespace = "clusterpass-system"
	// serverUser is whom the hub sees in clusterpass-apiserver: RBAC for its ServiceAccount, which
	// deployed servers run under, applies to this name, and nothing else gives it rights.
	serverUser = "system:serviceaccount:" + SystemNamespace + ":" + serverName
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

// Server is clusterpass-apiserver behind a hub.
type Server struct {
	config ServerConfig
	ca     *authority
	group  group
}

// NewServer prepares everything on disk that the server needs, and starts nothing.
func NewServer(config ServerConfig) (*Server, error) {
	if config.Logs == "" {
		config.Logs = filepath.Join(config.Dir, "logs")
	}
	if len(config.GroupVersions) == 0 {
		config.GroupVersions = GroupVersions
	}
	if config.ReadyPath == "" {
		config.ReadyPath = "/readyz"
	}
	s := &Server{config: config}
	for _, dir := range []string{s.pki(), config.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if s.ca, err = loadOrCreateAuthority(s.pki(), "ca", serverName+"-ca"); err != nil {
		return nil, err
	}
	if err := s.ca.loadOrIssue(s.pki(), "serving", leaf{hosts: []string{serverHost, "localhost", loopback}}); err != nil {
		return nil, err
	}
	if err := config.Hub.pki.ca.loadOrIssue(s.pki(), "hub-client", leaf{user: serverUser}); err != nil {
		return nil, err
	}
	return s, s.writeHubKubeconfig()
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

// Stop ends what Start started. Data stays.
func (s *Server) Stop() { s.group.stopAll() }

// Kill ends the server with SIGKILL.
func (s *Server) Kill() error {
	p, err := s.group.get(serverName)
	if err != nil {
		return err
	}
	p.kill()
	return nil
}

// Restart stops the server, if it still runs, starts it again and waits until it serves. The hub's
// aggregator may go on answering 503 for it, or begin to, until Register.
func (s *Server) Restart(ctx context.Context) error { return s.group.restart(ctx, serverName) }

// Dir returns the directory with the server's data.
func (s *Server) Dir() string { return s.config.Dir }

// EtcdPrefix returns what the keys of the server's data begin with in the hub's etcd. Each server
// of a hub has its own.
func (s *Server) EtcdPrefix() string { return "/clusterpass-" + strconv.Itoa(s.config.Port) }

// Log returns the path of what the server prints.
func (s *Server) Log() string { return filepath.Join(s.config.Logs, serverName+".log") }

// DirectConfig returns a client config for a user of the hub that reaches the server without the
// hub's aggregator.
func (s *Server) DirectConfig(user string, groups ...string) (*rest.Config, error) {
	config, err := s.config.Hub.UserConfig(user, groups...)
	if err != nil {
		return nil, err
	}
	config.Host = httpsURL(s.config.Port)
	config.CAData = s.ca.bundle()
	return config, nil
}

// Program returns the server's program. The hub has to serve before it is started.
func (s *Server) Program() (Program, error) {
	path, err := ServerPath()
	if err != nil {
		return Program{}, err
	}
	serving := filepath.Join(s.pki(), "serving")
	args := []string{
		"--kubeconfig=" + s.hubKubeconfig(),
		"--bind-address=" + loopback,
		"--secure-port=" + strconv.Itoa(s.config.Port),
		"--tls-cert-file=" + serving + ".crt",
		"--tls-private-key-file=" + serving + ".key",
	}
	if s.config.EmbeddedEtcd {
		args = append(args, "--embedded-etcd-dir="+filepath.Join(s.config.Dir, "etcd"))
	} else {
		args = append(args, s.config.Hub.EtcdArgs()...)
		args = append(args, "--etcd-prefix="+s.EtcdPrefix())
	}
	program := Program{Name: serverName, Path: path, Ports: []int{s.config.Port}, Log: s.Log()}
	if s.config.AuditPolicy != "" {
		args = append(args, auditArgs(s.config.AuditPolicy, s.config.AuditLog)...)
		program.Inputs = []string{s.config.AuditPolicy}
	}
	program.Args = append(args, s.config.Args...)
	program.Ready = httpReady(&rest.Config{
		Host:            httpsURL(s.config.Port),
		TLSClientConfig: rest.TLSClientConfig{CAData: s.ca.bundle()},
	}, s.config.ReadyPath)
	return program, nil
}

// writeHubKubeconfig writes the kubeconfig of the server's hub identity.
func (s *Server) writeHubKubeconfig() error {
	client := filepath.Join(s.pki(), "hub-client")
	data, err := s.config.Hub.certKubeconfig(serverName, client+".crt", client+".key")
	if err != nil {
		return fmt.Errorf("kubeconfig of %s: %w", serverName, err)
	}
	return writeIfChanged(s.hubKubeconfig(), data)
}

func (s *Server) hubKubeconfig() string { return filepath.Join(s.config.Dir, "hub.yaml") }

func (s *Server) pki() string { return filepath.Join(s.config.Dir, "pki") }
