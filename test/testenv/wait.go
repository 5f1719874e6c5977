// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/wait"
)

// WaitTimeout bounds the wait for a condition. It is far above what any takes.
const WaitTimeout = 3 * time.Minute

// Eventually calls check until it returns nil, and returns when that was. After WaitTimeout the
// test fails with the last error of check.
func Eventually(t testing.TB, check func(ctx context.Context) error) time.Time {
	t.Helper()
	return EventuallyIn(t.Context(), t, WaitTimeout, check)
}

// EventuallyIn is Eventually with another bound, and with another context: that of the test has
// ended when its cleanups run.
func EventuallyIn(ctx context.Context, t testing.TB, timeout time.Duration, check func(ctx context.Context) error) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	last := errors.New("it was not looked at")
	// Each look costs the servers of the test something, and waits are long: a fixed 20 ms took two
	// thirds of what the tests took in all.
	ever := wait.Backoff{Duration: 20 * time.Millisecond, Factor: 1.3, Cap: 250 * time.Millisecond, Steps: math.MaxInt32}
	err := ever.DelayFunc().Until(ctx, true, true, func(ctx context.Context) (bool, error) {
		if err := check(ctx); err == nil || ctx.Err() == nil {
			last = err
		}
		return last == nil, nil
	})
	require.NoError(t, err, "not in %s: %v", timeout, last)
	return time.Now()
}
