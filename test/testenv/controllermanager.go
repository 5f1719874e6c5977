// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"k8s.io/client-go/rest"
)

const (
	managerName = "clusterpass-controller-manager"
	// managerUser is whom the hub sees in it, with the RBAC of its ServiceAccount and no other.
	managerUser = "system:serviceaccount:" + SystemNamespace + ":" + managerName
)

// ControllerManagerConfig says how clusterpass-controller-manager is to be run.
type ControllerManagerConfig struct {
	// Hub is the cluster whose grants it works on. It has to have the RBAC of Server.ApplyRBAC.
	Hub *Cluster
	// Dir keeps its certificate and hub kubeconfig. It is created, for its owner only; what is there
	// is used again.
	Dir string
	// Logs is the directory of the program's log. Empty: logs in Dir.
	Logs string
	// Name tells several from each other. Empty: clusterpass-controller-manager.
	Name string
	// Port of health checks and metrics at 127.0.0.1.
	Port int
	// Args are added to its arguments.
	Args []string
}

// ControllerManager is clusterpass-controller-manager of a hub.
type ControllerManager struct {
	config ControllerManagerConfig
	ca     *authority
	group  group
}

// NewControllerManager prepares everything on disk that it needs, and starts nothing.
func NewControllerManager(config ControllerManagerConfig) (*ControllerManager, error) {
	if config.Name == "" {
		config.Name = managerName
	}
	if config.Logs == "" {
		config.Logs = filepath.Join(config.Dir, "logs")
	}
	m := &ControllerManager{config: config}
	for _, dir := range []string{m.pki(), config.Logs} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	if m.ca, err = loadOrCreateAuthority(m.pki(), "ca", managerName+"-ca"); err != nil {
		return nil, err
	}
	if err := m.ca.loadOrIssue(m.pki(), "serving", leaf{hosts: []string{"localhost", loopback}}); err != nil {
		return nil, err
	}
	if err := config.Hub.pki.ca.loadOrIssue(m.pki(), "hub-client", leaf{user: managerUser}); err != nil {
		return nil, err
	}
	client := filepath.Join(m.pki(), "hub-client")
	data, err := config.Hub.certKubeconfig(managerName, client+".crt", client+".key")
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of %s: %w", managerName, err)
	}
	return m, writeIfChanged(m.hubKubeconfig(), data)
}

// Start runs it as a child of this process and waits until it has read the hub. After an error,
// Stop ends it.
func (m *ControllerManager) Start(ctx context.Context) error {
	program, err := m.Program()
	if err != nil {
		return err
	}
	return m.group.start(ctx, program)
}

// Stop ends what Start started.
func (m *ControllerManager) Stop() { m.group.stopAll() }

// Kill ends it with SIGKILL.
func (m *ControllerManager) Kill() error {
	p, err := m.group.get(m.config.Name)
	if err != nil {
		return err
	}
	p.kill()
	return nil
}

// Restart stops it, if it still runs, starts it again and waits until it has read the hub.
func (m *ControllerManager) Restart(ctx context.Context) error {
	return m.group.restart(ctx, m.config.Name)
}

// Log returns the path of what it prints.
func (m *ControllerManager) Log() string {
	return filepath.Join(m.config.Logs, m.config.Name+".log")
}

// DirectConfig returns a client config for a user of the hub that reaches its health checks and
// metrics.
func (m *ControllerManager) DirectConfig(user string, groups ...string) (*rest.Config, error) {
	config, err := m.config.Hub.UserConfig(user, groups...)
	if err != nil {
		return nil, err
	}
	config.Host = httpsURL(m.config.Port)
	config.CAData = m.ca.bundle()
	return config, nil
}

// Program returns its program.
func (m *ControllerManager) Program() (Program, error) {
	path, err := ControllerManagerPath()
	if err != nil {
		return Program{}, err
	}
	serving := filepath.Join(m.pki(), "serving")
	return Program{
		Name:  m.config.Name,
		Path:  path,
		Ports: []int{m.config.Port},
		Log:   m.Log(),
		Args: append([]string{
			"--kubeconfig=" + m.hubKubeconfig(),
			"--bind-address=" + loopback,
			"--secure-port=" + strconv.Itoa(m.config.Port),
			"--tls-cert-file=" + serving + ".crt",
			"--tls-private-key-file=" + serving + ".key",
		}, m.config.Args...),
		Ready: httpReady(&rest.Config{
			Host:            httpsURL(m.config.Port),
			TLSClientConfig: rest.TLSClientConfig{CAData: m.ca.bundle()},
		}, "/readyz"),
	}, nil
}

func (m *ControllerManager) hubKubeconfig() string { return filepath.Join(m.config.Dir, "hub.yaml") }

func (m *ControllerManager) pki() string { return filepath.Join(m.config.Dir, "pki") }

// StartControllerManager runs clusterpass-controller-manager for the hub until the test ends. All
// fields of config may be empty.
func StartControllerManager(t testing.TB, hub *Cluster, config ControllerManagerConfig) *ControllerManager {
	t.Helper()
	config.Hub = hub
	if config.Dir == "" {
		config.Dir = keptOnFailure(t, managerName)
	}
	if config.Port == 0 {
		config.Port = Must[[]int](t)(FreePorts(1))[0]
	}
	manager := Must[*ControllerManager](t)(NewControllerManager(config))
	start(t, manager)
	return manager
}
