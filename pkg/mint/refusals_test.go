// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"
)

func TestRefusals(t *testing.T) {
	var reviews atomic.Int64 // some are under way at once
	m := &Minter{refusals: newRefusals(), Config: Config{Clock: clock.RealClock{}, Authorizer: authorizer.AuthorizerFunc(
		func(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
			reviews.Add(1)
			if a.GetUser().GetName() == "jane" {
				return authorizer.DecisionAllow, "", nil
			}
			return authorizer.DecisionNoOpinion, "", nil
		})}}
	request := func(name string) Request {
		return Request{User: &user.DefaultInfo{Name: name}, Spec: validRequest().Spec}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	began := time.Now()
	for range refusalBurst {
		require.True(t, apierrors.IsForbidden(m.authorize(t.Context(), request("mallory"))))
	}
	atOnce := time.Since(began)
	t.Run("a refusal after many waits for its turn", func(t *testing.T) {
		began := time.Now()
		for range 2 {
			require.True(t, apierrors.IsForbidden(m.authorize(t.Context(), request("mallory"))))
		}
		// What was spent on the burst has already paid for some.
		assert.Greater(t, atOnce+time.Since(began), time.Second/refusalsPerSecond)
	})
	t.Run("a cancelled request does not wait", func(t *testing.T) {
		began := time.Now()
		for range 3 {
			require.Error(t, m.authorize(cancelled, request("mallory")))
		}
		assert.Less(t, time.Since(began), maxRefusalDelay)
	})
	t.Run("where it would wait too long the answer is 429, and nothing is reviewed", func(t *testing.T) {
		var err error
		reviewed := reviews.Load()
		// Turns come back with time, so that one of these may be reviewed yet.
		for range 100 * refusalsPerSecond {
			reviewed = reviews.Load()
			if err = m.authorize(cancelled, request("mallory")); apierrors.IsTooManyRequests(err) && reviews.Load() == reviewed {
				break
			}
		}
		require.True(t, apierrors.IsTooManyRequests(err), err)
		seconds, _ := apierrors.SuggestsClientDelay(err)
		assert.Equal(t, 1, seconds)
		assert.Equal(t, reviewed, reviews.Load())
	})
	t.Run("other users, and those who are not refused, do not wait", func(t *testing.T) {
		require.True(t, apierrors.IsForbidden(m.authorize(t.Context(), request("kim"))))
		for range 2 * refusalBurst {
			require.NoError(t, m.authorize(t.Context(), request("jane")))
		}
	})
	t.Run("sets do not wait, whoever their author is", func(t *testing.T) {
		r := request("mallory")
		r.Owner = &metav1.OwnerReference{Name: "set"}
		require.True(t, apierrors.IsForbidden(m.authorize(t.Context(), r)))
	})
}

// TestRefusals_AtOnce sends many requests that are refused at the same time.
func TestRefusals_AtOnce(t *testing.T) {
	r := newRefusals()
	u := &user.DefaultInfo{Name: "mallory"}
	var refused, tooMany atomic.Int32
	var clients sync.WaitGroup
	for range 3 * refusalBurst {
		clients.Go(func() {
			err := r.wait(t.Context(), u, apierrors.NewForbidden(clusterProfiles, "bravelion", nil))
			if apierrors.IsTooManyRequests(err) {
				tooMany.Add(1)
			} else if apierrors.IsForbidden(err) {
				refused.Add(1)
			}
		})
	}
	clients.Wait()
	assert.EqualValues(t, 3*refusalBurst, refused.Load()+tooMany.Load())
	assert.GreaterOrEqual(t, refused.Load(), int32(refusalBurst))
	assert.Positive(t, tooMany.Load())
}
