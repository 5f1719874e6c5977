// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// absent has the discovery of a fixture's hub lack PlacementDecisions, until serve is called.
func (f *fixture) absent() (serve func()) {
	var served atomic.Bool
	hub := f.Hub.(*fake.Clientset)
	hub.Resources = []*metav1.APIResourceList{{
		GroupVersion: inventoryv1alpha1.GroupVersion.String(), APIResources: []metav1.APIResource{{Name: "placementdecisions"}},
	}}
	hub.PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
		return !served.Load(), nil, apierrors.NewNotFound(schema.GroupResource{}, "")
	})
	return func() { served.Store(true) }
}

// satisfied returns the condition PlacementSatisfied of a placement as the hub has it.
func (f *fixture) satisfied(placement string) metav1.Condition {
	found := meta.FindStatusCondition(f.status[placement].Status.Conditions, v1alpha1.PlacementSatisfied)
	require.NotNil(f.t, found)
	return *found
}

func TestController_WaitServed(t *testing.T) {
	t.Run("without PlacementDecisions each placement says so, once, and the wait ends when they come", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, "a")
			f.place(byDisk("best", 1))
			f.place(byDisk("other", 1))
			serve := f.absent()
			done := make(chan bool)
			go func() { done <- f.waitServed(t.Context()) }()
			synctest.Wait()
			for _, name := range []string{"best", "other"} {
				condition := f.satisfied(name)
				assert.Equal(t, metav1.ConditionFalse, condition.Status)
				assert.Equal(t, v1alpha1.PlacementReasonNotServed, condition.Reason)
				assert.Contains(t, condition.Message, "the hub serves PlacementDecisions in no version of multicluster.x-k8s.io")
				require.NoError(t, f.Placements.Informer().GetIndexer().Update(f.status[name]))
			}
			version := f.version
			time.Sleep(10 * servedPeriod) //nolint:forbidigo // it is the time of synctest
			synctest.Wait()
			assert.Equal(t, version, f.version, "it was written again")
			serve()
			assert.True(t, <-done)
			f.run()
			assert.Equal(t, v1alpha1.PlacementReasonAllDecisionsScheduled, f.satisfied("best").Reason)
		})
	})
	t.Run("while that is unknown nothing is said", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t, "a")
			f.place(byDisk("best", 1))
			f.Hub.(*fake.Clientset).PrependReactor("get", "resource", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewServiceUnavailable("no")
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			assert.False(t, f.waitServed(ctx))
			assert.Empty(t, f.status["best"].Status.Conditions)
		})
	})
}

// The hub stops serving PlacementDecisions, and serves them again.
func TestController_NotServedLater(t *testing.T) {
	f := newChoice(t)
	gone, serve := true, f.absent()
	theirs := f.Inventory.(*inventory.Clientset)
	theirs.PrependReactor("create", "placementdecisions", func(clienttesting.Action) (bool, runtime.Object, error) {
		return gone, nil, apierrors.NewGenericServerResponse(404, "create", schema.GroupResource{}, "", "404 page not found", 0, true)
	})
	f.slices = map[string]*inventoryv1alpha1.PlacementDecision{}
	f.see()
	name := cache.NewObjectName(team, "best")
	_, err := f.reconcile(t.Context(), name)
	require.ErrorContains(t, err, "could not find the requested resource")
	assert.Equal(t, v1alpha1.PlacementReasonNotServed, f.satisfied("best").Reason)
	version := f.version
	_, err = f.reconcile(t.Context(), name)
	require.Error(t, err)
	assert.Equal(t, version, f.version, "it was written again")

	gone = false
	serve()
	_, err = f.reconcile(t.Context(), name)
	require.NoError(t, err)
	assert.Equal(t, []string{"a"}, f.chosen("best"))
	assert.Equal(t, v1alpha1.PlacementReasonAllDecisionsScheduled, f.satisfied("best").Reason)

	t.Run("another 404 is no reason to say so", func(t *testing.T) {
		f.see()
		f.run()
		gone = true
		f.slices = map[string]*inventoryv1alpha1.PlacementDecision{}
		f.see()
		_, err := f.reconcile(t.Context(), name)
		require.Error(t, err)
		assert.Equal(t, v1alpha1.PlacementReasonAllDecisionsScheduled, f.satisfied("best").Reason)
	})
}
