// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"cmp"
	"context"
	"path/filepath"
	"testing"
)

const managerName = "clusterpass-controller-manager"

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
	served
}

// NewControllerManager prepares everything on disk that it needs, and starts nothing.
func NewControllerManager(config ControllerManagerConfig) (*ControllerManager, error) {
	name := cmp.Or(config.Name, managerName)
	log := filepath.Join(cmp.Or(config.Logs, filepath.Join(config.Dir, "logs")), name+".log")
	m := &ControllerManager{config: config, served: served{
		single: single{name: name, log: log}, hub: config.Hub, dir: config.Dir, port: config.Port,
	}}
	return m, m.prepare(managerName)
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

// Program returns its program.
func (m *ControllerManager) Program() (Program, error) {
	path, err := ControllerManagerPath()
	if err != nil {
		return Program{}, err
	}
	return m.program(path, "/readyz", m.config.Args...), nil
}

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
