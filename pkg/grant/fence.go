// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// TokenCacheTTL is how long a token may still be accepted by its member after the
// Secret that it is bound to is gone: kube-apiserver's authenticator keeps what it
// has accepted for 10 s (k8s.io/apiserver's delegating and token cache authenticators), and
// a second more is for clocks that count whole ones.
const TokenCacheTTL = 11 * time.Second

// fence keeps the rights of a new generation of a grant from the tokens of the one
// before: those belong to the same ServiceAccount, and are accepted for a while after
// their Secret is gone.
type fence struct {
	clock clock.Clock
	// needed says that there may be such tokens.
	needed bool
	until  time.Time
}

func newFence(c clock.Clock, g *v1alpha1.AuthTokenGrant) fence {
	issued := g.Status.ExpirationCeiling != nil && g.Status.ExpirationCeiling.After(c.Now())
	return fence{clock: c, needed: IsChanging(g) && issued}
}

// IsChanging returns whether the spec of g has been changed and the member does not have all of
// that yet.
func IsChanging(g *v1alpha1.AuthTokenGrant) bool {
	return g.Generation > 1 && g.Status.ObservedGeneration < g.Generation
}

// secretSeen notes that the Secret on the member is that of the new generation, so that no token of
// the one before is bound to it. Before that, nothing waits: not the Secret itself.
func (f *fence) secretSeen() { f.until = f.clock.Now().Add(TokenCacheTTL) }

// wait returns once no token of an earlier generation is accepted any more.
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
