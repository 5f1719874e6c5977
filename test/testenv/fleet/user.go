// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/test/testenv"
)

const (
	// userName is an ordinary user of the hub, in the group that userRole binds the documented Role
	// to.
	userName  = "alice"
	userGroup = "bravelion-viewers"
	userRole  = "artifacts/examples/rbac/bravelion-viewer.yaml"
)

// writeUser writes the user's kubeconfig, with a client certificate. One that leads to this hub
// already stays: the user may have merged contexts into it.
func writeUser(s settings, hub *testenv.Cluster) error {
	path := s.kubeconfig(userName)
	if old, err := clientcmd.LoadFromFile(path); err == nil {
		cluster := old.Clusters[hub.Name()]
		if cluster != nil && cluster.Server == hub.Server() && bytes.Equal(cluster.CertificateAuthorityData, hub.CA()) {
			return nil
		}
	}
	data, err := hub.ClientCertKubeconfig(userName, userGroup)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// applyUserRole gives the user the documented Role, as the hub's admin does.
func applyUserRole(ctx context.Context, s settings, hub *testenv.Cluster) error {
	if _, err := testenv.Kubectl(ctx, hub.Kubeconfig(), "", "apply", "-f", filepath.Join(s.root, userRole)); err != nil {
		return fmt.Errorf("applying %s: %w", userRole, err)
	}
	return nil
}
