// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ToolsEnv names the environment variable with the directory of etcd, kube-apiserver,
// kube-controller-manager, kubectl, Kueue and OCM. Unset, they are in bin/tools of the module.
const ToolsEnv = "CLUSTERPASS_TOOLS"

// ServerEnv names the environment variable with the path of the clusterpass-apiserver to run.
// Unset, it is the one in bin of the module.
const ServerEnv = "CLUSTERPASS_APISERVER"

// ControllerManagerEnv is the like for clusterpass-controller-manager.
const ControllerManagerEnv = "CLUSTERPASS_CONTROLLER_MANAGER"

// ModuleRoot returns the absolute path of the directory with the go.mod that the working directory
// belongs to.
func ModuleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above: run this inside the clusterpass source tree")
		}
		dir = parent
	}
}

// ToolPath returns the path of one of the programs that make tools builds.
func ToolPath(name string) (string, error) { return toolPath(name, "make tools") }

// KueuePath returns the path of Kueue's manager, an error that wraps [fs.ErrNotExist] if it was not
// built.
func KueuePath() (string, error) { return toolPath(kueueName, "make tools KUEUE=1") }

// OCMPath is the like for the controllers of OCM.
func OCMPath() (string, error) { return toolPath(ocmName, "make test-ocm") }

func toolPath(name, builder string) (string, error) {
	dir := os.Getenv(ToolsEnv)
	if dir == "" {
		root, err := ModuleRoot()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, "bin", "tools")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (%s builds it)", err, builder)
	}
	return path, nil
}

// ServerPath returns the path of the clusterpass-apiserver to run: the one that ServerEnv names, or
// that in bin.
func ServerPath() (string, error) { return programPath(ServerEnv, serverName) }

// ControllerManagerPath returns the path of the clusterpass-controller-manager to run: the one that
// ControllerManagerEnv names, or that in bin.
func ControllerManagerPath() (string, error) { return programPath(ControllerManagerEnv, managerName) }

func programPath(env, name string) (string, error) {
	if path := os.Getenv(env); path != "" {
		return path, nil
	}
	root, err := ModuleRoot()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "bin", name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (make build builds it)", err)
	}
	return path, nil
}
