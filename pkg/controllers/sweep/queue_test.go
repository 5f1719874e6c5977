// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

// A member that fails is swept again.
func TestController_Retry(t *testing.T) {
	f := newFixture(t, fakemember.NewGrant("one"))
	name := cache.MetaObjectToName(f.profile)
	f.member.SetDown(true)
	for failure := range 3 {
		f.queue.Add(name)
		require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
		assert.Equal(t, failure+1, f.requeues())
	}
	f.member.SetDown(false)
	f.Members = insisting{f.Members}
	f.queue.Add(name)
	require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
	assert.Equal(t, 0, f.requeues())
}

// insisting are Members whose next call is made although the last have failed.
type insisting struct{ member.CachedMembers }

func (i insisting) Cached(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*member.Client, error) {
	client, err := i.CachedMembers.Cached(ctx, profile)
	if err != nil {
		return nil, err
	}
	_, err = client.Kubernetes().CoreV1().ServiceAccounts("").List(member.Insist(ctx), metav1.ListOptions{})
	return client, err
}

func TestController_ReconcileGoneProfile(t *testing.T) {
	f := newFixture(t)
	f.queue.AddRateLimited(cache.MetaObjectToName(f.profile))
	require.NoError(t, f.Profiles.Informer().GetIndexer().Delete(f.profile))
	f.queue.Add(cache.MetaObjectToName(f.profile))
	f.member.ClearActions()
	require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
	assert.Equal(t, 0, f.requeues())
	assert.Empty(t, f.member.Calls())
}

// A failed sweep is tried again within the period.
func TestController_RetryWithinPeriod(t *testing.T) {
	f := newFixture(t)
	f.member.SetDown(true)
	f.queue.Add(cache.MetaObjectToName(f.profile))
	require.True(t, loop.Next(t.Context(), f.queue, "cluster", f.reconcile))
	require.Equal(t, 1, f.requeues())
	began := f.clock.Now()
	require.Eventually(t, func() bool {
		f.clock.Step(time.Second)
		return f.queue.Len() == 1
	}, time.Minute, time.Millisecond)
	assert.GreaterOrEqual(t, f.clock.Since(began), minBackoff)
}

// A member without access is looked at again a period later.
func TestController_ReconcileNoAccess(t *testing.T) {
	f := newFixture(t)
	f.profile.Name, f.profile.Status.AccessProviders = "unadopted", nil
	require.NoError(t, f.Profiles.Informer().GetIndexer().Add(f.profile))
	again, err := f.reconcile(t.Context(), cache.MetaObjectToName(f.profile))
	require.NoError(t, err)
	assert.GreaterOrEqual(t, again, f.Period)
	assert.Empty(t, f.member.Calls())
}
