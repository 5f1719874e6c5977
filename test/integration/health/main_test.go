// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health tests that ClusterProfiles say how real members are, soon, truly, and with no more
// writes than that takes.
package health

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/test/testenv"
)

const (
	// period is short so that ten outages take less than CI's patience, and is no measure of anything.
	period = 2 * time.Second
	poll   = 20 * time.Millisecond
)

// fleet is a hub with two members, and with both programs.
type fleet struct {
	hub, bravelion, smartfish *testenv.Cluster
	manager                   *testenv.ControllerManager
	profiles                  inventoryclient.ClusterProfileInterface
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{
		hub:       testenv.Start(t, testenv.Options{}),
		bravelion: testenv.Start(t, testenv.Options{Name: "bravelion"}),
		smartfish: testenv.Start(t, testenv.Options{Name: "smartfish"}),
	}
	testenv.StartServer(t, f.hub, testenv.ServerConfig{})
	f.profiles = f.hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	f.join(t, f.bravelion, "bravelion")
	f.join(t, f.smartfish, "smartfish")
	f.manager = testenv.StartControllerManager(t, f.hub, testenv.ControllerManagerConfig{Args: []string{
		"--member-probe-period=" + period.String(), "--cluster-profile-write-interval=" + (2 * period).String(),
		"--score-period=" + period.String(),
	}})
	f.untilHealthy(t, "bravelion", metav1.ConditionTrue)
	f.untilHealthy(t, "smartfish", metav1.ConditionTrue)
	return f
}

func (f *fleet) join(t *testing.T, member *testenv.Cluster, name string) {
	t.Helper()
	require.NoError(t, testenv.Join(t.Context(), f.hub, member, "default", name))
}

// untilHealthy waits until the condition of a profile has a status, and one of the reasons where
// there are any, and returns it.
func (f *fleet) untilHealthy(t *testing.T, name string, status metav1.ConditionStatus, reasons ...string) metav1.Condition {
	t.Helper()
	var last *metav1.Condition
	testenv.Await(t, f.profiles, name, func(profile *inventoryv1alpha1.ClusterProfile) error {
		last = meta.FindStatusCondition(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy)
		if last == nil || last.Status != status || len(reasons) > 0 && !slices.Contains(reasons, last.Reason) {
			return fmt.Errorf("%s is %v", name, last)
		}
		return nil
	})
	return *last
}
