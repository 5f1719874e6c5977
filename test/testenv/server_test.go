// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

func TestStartServer(t *testing.T) {
	ctx := t.Context()
	hub := Start(t, Options{Name: "hub"})
	server := StartServer(t, hub, ServerConfig{})
	require.NoError(t, Join(ctx, hub, hub, "default", "member"))

	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(ctx))

	profiles := hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
	var lastErr error
	err := wait.PollUntilContextTimeout(ctx, readyPoll, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, lastErr = profiles.Get(ctx, "member", metav1.GetOptions{})
		return lastErr == nil, nil
	})
	require.NoError(t, err, "a ClusterProfile is gone after the server was killed: %v", lastErr)
}
