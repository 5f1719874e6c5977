// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	expectToken(t, hub.RESTConfig(), request("external", "revoked", "view"))
	join(t, "leaving")
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := ask(ctx, hub.RESTConfig(), request("leaving", "left", "view"))
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
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := ask(ctx, hub.RESTConfig(), request("leaving", "left", "view"))
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("a request for a cluster that is gone: %w", err)
		}
		return nil
	})
}

// accounts lists the ServiceAccounts on the member that clusterpass has made.
func accounts(t *testing.T) []string {
	t.Helper()
	list, err := bravelion.Kube(t).CoreV1().ServiceAccounts("default").List(t.Context(),
		metav1.ListOptions{LabelSelector: grant.LabelManagedBy})
	require.NoError(t, err)
	names := make([]string, 0, len(list.Items))
	for _, account := range list.Items {
		names = append(names, account.Name)
	}
	return names
}
