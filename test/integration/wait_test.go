// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/util/wait"
)

// eventually waits until check returns nil, and fails the test with its last error.
func eventually(t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	eventuallyIn(t.Context(), t, check)
}

// eventuallyIn is eventually for a cleanup, when the test's own context has ended.
func eventuallyIn(ctx context.Context, t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	var last error
	if err := wait.PollUntilContextTimeout(ctx, poll, waitTimeout, true, func(ctx context.Context) (bool, error) {
		last = check(ctx)
		return last == nil, nil
	}); err != nil {
		t.Fatalf("not in %s: %v", waitTimeout, last)
	}
}
