// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// A member that does not answer, and has grants to revoke, is probed every half second at first,
	// and less often the longer it is away: each time after a twentieth of the time that it has been
	// away, up to half a minute.
	minProbe    = 500 * time.Millisecond
	maxProbe    = 30 * time.Second
	probeShare  = 20
	probeWithin = 5 * time.Second
	// patience bounds the wait for a member that answers until it is ready: an API server that starts
	// refuses everything at first.
	patience = 10 * time.Second
)

// recovery waits until members are back, and enqueues their grants then.
type recovery struct {
	mu      sync.Mutex
	waiting map[types.UID]bool
	probes  sync.WaitGroup
}

// await waits in the background until the member of g answers again. There is one wait for each
// member.
func (c *Controller) await(ctx context.Context, g *v1alpha1.AuthTokenGrant, client *member.Client) {
	profile := g.Spec.ClusterProfile.UID
	c.recovery.mu.Lock()
	defer c.recovery.mu.Unlock()
	if c.recovery.waiting[profile] || ctx.Err() != nil {
		return
	}
	c.recovery.waiting[profile] = true
	c.recovery.probes.Go(func() {
		c.untilBack(ctx, profile, client)
		c.recovery.mu.Lock()
		delete(c.recovery.waiting, profile)
		c.recovery.mu.Unlock()
		for _, g := range c.revoking(profile) {
			c.enqueue(g)
		}
	})
}

// untilBack returns when the member is ready, or has answered for a while without being so, when
// none of its grants is to be revoked any more, or when ctx ends.
func (c *Controller) untilBack(ctx context.Context, profile types.UID, client *member.Client) {
	since, answered := c.Clock.Now(), time.Time{}
	for {
		away := c.Clock.Since(since)
		timer := c.Clock.NewTimer(min(max(away/probeShare, minProbe), maxProbe))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C():
		}
		err := ask(ctx, client)
		switch {
		case isAway(err):
			answered = time.Time{}
		case answered.IsZero():
			answered = c.Clock.Now()
		}
		if err == nil || len(c.revoking(profile)) == 0 || !answered.IsZero() && c.Clock.Since(answered) > patience {
			klog.FromContext(ctx).V(2).Info("No longer waiting for a member to be back", "cluster", client.Name(), "after", away)
			return
		}
	}
}

// ask returns nil when the member is ready.
func ask(ctx context.Context, client *member.Client) error {
	ctx, cancel := context.WithTimeout(member.Insist(ctx), probeWithin)
	defer cancel()
	_, err := client.Kubernetes().Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
	return client.Error(err, "answer")
}

// isAway returns whether an error is that the member does not answer.
func isAway(err error) bool {
	return apierrors.HasStatusCause(err, member.CauseUnreachable) ||
		apierrors.HasStatusCause(err, member.CauseTimeout) ||
		apierrors.HasStatusCause(err, member.CauseBreakerOpen)
}

// revoking returns the grants of a ClusterProfile that are being deleted.
func (c *Controller) revoking(profile types.UID) []*v1alpha1.AuthTokenGrant {
	var all []*v1alpha1.AuthTokenGrant
	for _, obj := range c.of(profile) {
		if g, ok := obj.(*v1alpha1.AuthTokenGrant); ok && g.DeletionTimestamp != nil {
			all = append(all, g)
		}
	}
	return all
}
