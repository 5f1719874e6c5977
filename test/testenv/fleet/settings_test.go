// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/testenv"
)

// Kueue stays part of the fleet.
func TestSettings_Kueue(t *testing.T) {
	t.Setenv(localDirEnv, t.TempDir())
	hasKueue := func() bool {
		s, err := settingsFromEnv()
		require.NoError(t, err)
		return s.kueue
	}
	t.Setenv(testenv.KueueEnv, "1")
	require.True(t, hasKueue(), "it is asked for")

	t.Setenv(testenv.KueueEnv, "")
	require.False(t, hasKueue(), "it is not asked for")

	s, err := settingsFromEnv()
	require.NoError(t, err)
	started := &record{Name: "hub-kueue"}
	require.NoError(t, started.write(s.records()))
	require.True(t, hasKueue(), "it was started")

	require.NoError(t, started.remove(s.records()))
	require.False(t, hasKueue(), "it was brought down")
}

// Kueue stays as it was asked for.
func TestSettings_KueueByPlacement(t *testing.T) {
	t.Setenv(localDirEnv, t.TempDir())
	byPlacement := func(asked string) bool {
		t.Setenv(testenv.KueueEnv, asked)
		s, err := settingsFromEnv()
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(s.dir, 0o700))
		require.NoError(t, s.rememberDispatching())
		require.NoError(t, (&record{Name: "hub-kueue"}).write(s.records()))
		return s.byPlacement
	}
	require.False(t, byPlacement("1"))
	require.False(t, byPlacement(""), "it was not asked for")
	require.True(t, byPlacement(testenv.KueueByPlacement))
	require.True(t, byPlacement(""), "it was asked for before")
	require.False(t, byPlacement("1"), "something else is asked for")
}

// Ports of a fleet are its own.
func TestSettings_Ports(t *testing.T) {
	const base = 20000
	s := settings{portBase: base}
	ports := []int{s.serverPort(), s.managerPort()}
	for i := range 1 + len(memberNames) {
		cluster, kueue := s.clusterPorts(i), s.kueuePorts(i)
		ports = append(ports, cluster.APIServer, cluster.Etcd, cluster.EtcdPeer, cluster.ControllerManager,
			kueue.Health, kueue.Webhook, s.kubeletPort(i))
	}
	seen := map[int]bool{}
	for _, port := range ports {
		require.False(t, seen[port], "%d is used twice", port)
		seen[port] = true
		require.GreaterOrEqual(t, port, base)
		require.Less(t, port, base+fleetPorts)
	}
}
