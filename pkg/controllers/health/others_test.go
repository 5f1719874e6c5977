// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"clusterpass.dev/pkg/member"
)

// newOtherBench is newBench for a profile of another manager, which leads to its member by a Secret
// that names it.
func newOtherBench(t *testing.T) (*bench, *naming) {
	t.Helper()
	b := newBench(t)
	secrets := &naming{fakeMember: b.member, named: true}
	b.stored.Spec.ClusterManager.Name, b.stored.Status.AccessProviders = "open-cluster-management", nil
	members, err := member.NewPool(member.Options{Config: member.DefaultConfig(), Secrets: secrets, Clock: b.clock})
	require.NoError(t, err)
	b.Members = members
	return b, secrets
}

// naming has the Secret of the one member name its profile, or not.
type naming struct {
	*fakeMember
	named bool
}

func (n *naming) Of(namespace, name string) ([]*corev1.Secret, error) {
	if !n.named || namespace != "fleet" || name != "bravelion" {
		return nil, nil
	}
	secret, err := n.Get("clusterpass-system", "member")
	return []*corev1.Secret{secret}, err
}

// said returns the events since it was called last.
func (b *bench) said() []string {
	var all []string
	for len(b.events.Events) > 0 {
		all = append(all, <-b.events.Events)
	}
	return all
}

// others has the member probed some times, a period apart.
func (b *bench) others(ctx context.Context, times int) {
	for range times {
		b.clock.Step(b.ProbePeriod)
		b.syncOther(ctx, b.stored)
	}
}

func TestController_SyncOther(t *testing.T) {
	for name, test := range map[string]struct {
		change func(b *bench)
		events []string
	}{
		"a credential that the member refuses is an event": {
			func(b *bench) { b.member.answer("/readyz", plain(http.StatusUnauthorized, "Unauthorized")) },
			[]string{"Warning AccessFailed Unauthorized: ", "Normal AccessRestored "},
		},
		"rights that are lost are an event": {
			func(b *bench) { b.member.answer(reviewsPath, reviewed(false)) },
			[]string{"Warning AccessFailed RightsLost: ", "Normal AccessRestored "},
		},
		"a member that cannot be reached is an event": {
			func(b *bench) {
				b.member.answer("/readyz", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			},
			[]string{"Warning AccessFailed Unreachable: ", "Normal AccessRestored "},
		},
		"the health of the member is not ours to say": {
			func(b *bench) { b.member.answer("/readyz", plain(http.StatusInternalServerError, "[-]etcd failed")) }, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := newOtherBench(t)
			b.others(t.Context(), 5)
			assert.Empty(t, b.said(), "it works")

			test.change(b)
			b.others(t.Context(), 10)
			b.member.answer("/readyz", plain(http.StatusOK, "ok"))
			b.member.answer(reviewsPath, reviewed(true))
			b.others(t.Context(), 10)
			said := b.said()
			if assert.Len(t, said, len(test.events), "%q", said) {
				for i, want := range test.events {
					assert.Contains(t, said[i], want)
				}
			}
			assert.Empty(t, b.client.Actions(), "the profile is written")
			assert.Zero(t, b.member.called("/version"), "what is only for the profile is read")
		})
	}
}

// The hub forgets events.
func TestController_SyncOther_FailsForLong(t *testing.T) {
	b, _ := newOtherBench(t)
	b.member.answer("/readyz", plain(http.StatusUnauthorized, "Unauthorized"))
	b.others(t.Context(), 5)
	assert.Len(t, b.said(), 1)
	b.others(t.Context(), int(eventPeriod/b.ProbePeriod)+1)
	assert.Len(t, b.said(), 1, "it is said once more")
}

func TestController_SyncOther_OnceFailed(t *testing.T) {
	b, _ := newOtherBench(t)
	b.others(t.Context(), 2)
	b.member.answer("/readyz", plain(http.StatusUnauthorized, "Unauthorized"))
	assert.LessOrEqual(t, b.syncOther(t.Context(), b.stored), b.ProbePeriod/reprobe, "it is looked into soon")
	assert.Empty(t, b.said(), "one failed probe says nothing")
}

func TestController_SyncOther_NotAdopted(t *testing.T) {
	b, secrets := newOtherBench(t)
	secrets.named = false
	assert.Zero(t, b.syncOther(t.Context(), b.stored), "it is looked at again when a Secret names it")
	assert.Zero(t, b.member.called("/readyz"))

	secrets.named = true
	assert.Positive(t, b.syncOther(t.Context(), b.stored))
	assert.Equal(t, 1, b.member.called("/readyz"))

	secrets.named = false
	assert.Zero(t, b.syncOther(t.Context(), b.stored), "it is adopted no more")
	assert.Empty(t, b.seen, "what is known of it stays")
	assert.Empty(t, b.said(), "what is wanted is no failure")
	assert.Empty(t, b.client.Actions())
}
