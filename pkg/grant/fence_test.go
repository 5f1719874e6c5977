// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// New rights wait only for tokens that may be out.
func TestFence_Wait(t *testing.T) {
	now := time.Now()
	tests := map[string]struct {
		change func(g *v1alpha1.AuthTokenGrant)
		waits  bool
	}{
		"a grant as it was made":                 {func(*v1alpha1.AuthTokenGrant) {}, false},
		"one that has been changed":              {func(g *v1alpha1.AuthTokenGrant) { g.Generation = 2 }, true},
		"one whose change the member has":        {func(g *v1alpha1.AuthTokenGrant) { g.Generation, g.Status.ObservedGeneration = 2, 2 }, false},
		"one that was changed without any token": {func(g *v1alpha1.AuthTokenGrant) { g.Generation, g.Status.ExpirationCeiling = 2, nil }, false},
		"one that was changed long after the last": {func(g *v1alpha1.AuthTokenGrant) {
			past := metav1.NewTime(now.Add(-time.Minute))
			g.Generation, g.Status.ExpirationCeiling = 2, &past
		}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := testGrant()
			ceiling := metav1.NewTime(now.Add(time.Hour))
			g.Status.ExpirationCeiling, g.Status.ObservedGeneration = &ceiling, 1
			test.change(g)
			clock := testingclock.NewFakeClock(now)
			f := newFence(clock, g)
			f.secretSeen()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := f.wait(ctx); errors.Is(err, context.Canceled) != test.waits {
				t.Errorf("wait: %v, want it to wait: %t", err, test.waits)
			}
			clock.Step(TokenCacheTTL)
			if err := f.wait(t.Context()); err != nil {
				t.Errorf("after %s: %v", TokenCacheTTL, err)
			}
		})
	}
}
