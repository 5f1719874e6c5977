// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package inventorymodes tests clusterpass-apiserver on hubs that have CustomResourceDefinitions in
// the group of ClusterProfile, before and after it, in both modes of --inventory. The tests share
// one hub and one member and leave the hub as they found it, without clusterpass and without the
// CRDs.
package inventorymodes

import (
	"context"
	"testing"
	"time"

	"clusterpass.dev/test/testenv"
)

const poll = 100 * time.Millisecond

// hub and bravelion, a member, are what the tests share.
var hub, bravelion *testenv.Cluster

func TestMain(m *testing.M) {
	var fleet testenv.Fleet
	fleet.Main(m, testenv.FleetConfig{Members: 1, Prepare: func(context.Context) error {
		hub, bravelion = fleet.Hub, fleet.Bravelion
		return nil
	}})
}
