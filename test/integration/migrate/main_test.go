// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate tests the way of a real hub from CustomResourceDefinitions to clusterpass serving
// the inventory. The tests share one hub and leave it as they found it, without clusterpass and
// without the definitions.
package migrate

import (
	"context"
	"testing"

	"clusterpass.dev/test/testenv"
)

// hub is what the tests share.
var hub *testenv.Cluster

func TestMain(m *testing.M) {
	var fleet testenv.Fleet
	fleet.Main(m, testenv.FleetConfig{Prepare: func(context.Context) error {
		hub = fleet.Hub
		return nil
	}})
}
