// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// TokenCacheTTL is how long a member may still accept a token after the Secret that it is bound to
// is deleted. kube-apiserver caches successful authentications for 10 s (k8s.io/apiserver's
// delegating and token cache authenticators). One second is added for times that are rounded to
// seconds.
const TokenCacheTTL = 11 * time.Second

// fence delays the new rights of a changed grant until no earlier token is accepted any more.
// Earlier tokens are for the same ServiceAccount, and the member accepts them for up to
// TokenCacheTTL after their Secret is deleted.
type fence struct {
	clock clock.Clock
	// needed says that there may be earlier tokens.
	needed bool
	// until is when the last earlier token ends.
	until time.Time
}

func newFence(c clock.Clock, g *v1alpha1.AuthTokenGrant) fence {
	issued := g.Status.ExpirationCeiling != nil && g.Status.ExpirationCeiling.After(c.Now())
	return fence{clock: c, needed: IsChanging(g) && issued}
}

// IsChanging returns whether the spec of g was changed and the member does not have all its objects
// yet.
func IsChanging(g *v1alpha1.AuthTokenGrant) bool {
	return g.Generation > 1 && g.Status.ObservedGeneration < g.Generation
}

// secretSeen starts the delay: the member now has the Secret of the new generation, and that of the
// earlier one is deleted. Before secretSeen, wait returns at once, also for the Secret itself.
func (f *fence) secretSeen() { f.until = f.clock.Now().Add(TokenCacheTTL) }

// wait returns when the member does not accept tokens of an earlier generation any more.
func (f *fence) wait(ctx context.Context) error {
	left := f.until.Sub(f.clock.Now())
	if !f.needed || left <= 0 {
		return nil
	}
	timer := f.clock.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
