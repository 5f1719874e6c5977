// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package score tests what a hub says of what is free on its members: on a real member whose nodes
// and pods are API objects without a kubelet, with the controller manager as it is deployed.
package score

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/test/testenv"
)

// period is how often the member is read.
const period = 2 * time.Second

// shared is a hub with one member, joined in namespace default.
var shared testenv.Fleet

func TestMain(m *testing.M) {
	shared.Main(m, testenv.FleetConfig{
		Members: 1, Server: &testenv.ServerConfig{}, Manager: &testenv.ControllerManagerConfig{Args: []string{"--v=4", "--score-period=" + period.String()}},
	})
}

// hub returns a client for a user of the hub; admin is one with all rights.
func hub(t *testing.T, user string) *versioned.Clientset {
	t.Helper()
	config := shared.Hub.RESTConfig()
	if user != admin {
		var err error
		config, err = shared.Hub.UserConfig(user)
		require.NoError(t, err)
	}
	return testenv.Must[*versioned.Clientset](t)(versioned.NewForConfig(config))
}
