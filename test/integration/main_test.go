// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration tests clusterpass-apiserver behind a real kube-apiserver, with
// real member clusters. The tests share one hub and two members; each uses names of
// its own.
package integration

import (
	"context"
	"path/filepath"
	"testing"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/testenv"
)

// shared is what the tests share: bravelion and smartfish are joined in namespace default.
var shared testenv.Fleet

func TestMain(m *testing.M) {
	policy := filepath.Join("testdata", "audit-everything.yaml")
	server := &testenv.ServerConfig{AuditPolicy: policy, Args: []string{"--v=10"}}
	shared.Main(m, testenv.FleetConfig{
		Members: 2, Audit: true,
		// A member's own maximum is not ours to exceed, and must not be kept from who asked.
		APIServerArgs: map[string][]string{"smartfish": {"--service-account-max-token-expiration=12h"}},
		Server:        server,
		Prepare: func(context.Context) error {
			server.AuditLog = serverAuditLog()
			return nil
		},
	})
}

func serverAuditLog() string { return filepath.Join(shared.Dir, "server-audit.log") }

func dyn(t *testing.T, config *rest.Config) dynamic.Interface {
	t.Helper()
	return testenv.Must[dynamic.Interface](t)(dynamic.NewForConfig(config))
}
