// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package score tests what a hub says of what is free on its members: on a real member whose nodes
// and pods are API objects without a kubelet, with the controller manager as it is deployed.
package score

import (
	"testing"
	"time"

	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

// period is how often the member is read.
const period = 2 * time.Second

// shared is a hub with one member, joined in namespace default.
var shared testenv.Fleet

func TestMain(m *testing.M) {
	shared.Main(m, testenv.FleetConfig{
		Members: 1, Server: &testenv.ServerConfig{},
		Manager: &testenv.ControllerManagerConfig{Args: []string{"--v=4", "--score-period=" + period.String()}},
	})
}

// hub returns a client for a user of the hub; admin is one with all rights.
func hub(t *testing.T, user string) versioned.Interface {
	t.Helper()
	if user == admin {
		return shared.Hub.Clusterpass(t)
	}
	return testenv.Clusterpass(t, shared.Hub.User(t, user))
}
