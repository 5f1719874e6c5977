// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// expectGrantsAreRevoked has a controller manager end two grants: one that is deleted, and one
// whose ClusterProfile, an object of the CRD, is.
func expectGrantsAreRevoked(t *testing.T) {
	t.Helper()
	grants := hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants("default")
	testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{})

	before := accounts(t)
	expectToken(t, hub.RESTConfig(), request("external", "revoked"))
	join(t, "leaving")
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := ask(ctx, hub.RESTConfig(), request("leaving", "left"))
		return err
	})
	require.Len(t, accounts(t), len(before)+2)

	require.NoError(t, grants.DeleteCollection(t.Context(), metav1.DeleteOptions{},
		metav1.ListOptions{FieldSelector: "spec.serviceAccount.name=revoked"}))
	require.NoError(t, hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default").Delete(t.Context(), "leaving", metav1.DeleteOptions{}))
	testenv.Eventually(t, func(context.Context) error {
		if now := accounts(t); len(now) > len(before) {
			return fmt.Errorf("ServiceAccounts on the member: %v", now)
		}
		return nil
	})
	expectRefused(t, request("leaving", "left"), metav1.StatusReasonNotFound)
}

// accounts lists the ServiceAccounts on the member that clusterpass has made.
func accounts(t *testing.T) []string {
	t.Helper()
	ofClusterpass := metav1.ListOptions{LabelSelector: grant.LabelManagedBy}
	list := testenv.List(t, bravelion.Kube(t).CoreV1().ServiceAccounts("default"), ofClusterpass)
	names := make([]string, 0, len(list.Items))
	for _, account := range list.Items {
		names = append(names, account.Name)
	}
	return names
}
