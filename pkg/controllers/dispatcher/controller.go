// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dispatcher is MultiKueue's dispatcher by placement: it nominates for each Workload of Kueue the clusters that the Placement
// named by its Job has chosen (KEP-5313, Kueue's KEP-693). The placement is then one of the Job's, not of its queue.
package dispatcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"
)

const (
	// leastBackoff and mostBackoff are when to try again after a failure.
	leastBackoff = 200 * time.Millisecond
	mostBackoff  = time.Minute
	// usablePeriod is how often a hub is asked whether there is work to do by now: it may get Kueue, or the rights, later.
	usablePeriod = 15 * time.Second
)

// Options are what a Controller works with. Every field is required.
type Options struct {
	// Hub is asked whether it has Kueue, and what the client may do there.
	Hub kubernetes.Interface
	// Objects reads and writes Kueue's.
	Objects dynamic.Interface
	// Decisions are watched while the controller works.
	Decisions inventoryinformers.PlacementDecisionInformer
	// Recorder tells users what was nominated, and why nothing was.
	Recorder events.EventRecorder
	// Workers is how many Workloads are seen to at once.
	Workers int
	// Clock is the source of the time.
	Clock clock.WithTicker
}

// Controller nominates clusters. It is made by New.
type Controller struct {
	Options
	kueue     *kueue
	decisions inventorylisters.PlacementDecisionLister
	queue     workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced    []cache.InformerSynced

	mu sync.Mutex
	// waiting are the Workloads that wait for a cluster, as far as they were seen to.
	waiting map[cache.ObjectName]*progress
}

// New returns a Controller that has registered with its informers, and starts them itself.
func New(o Options) (*Controller, error) {
	kueue, err := newKueue(o.Objects)
	if err != nil {
		return nil, fmt.Errorf("watching Kueue: %w", err)
	}
	c := &Controller{
		Options:   o,
		kueue:     kueue,
		decisions: o.Decisions.Lister(),
		waiting:   map[cache.ObjectName]*progress{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](leastBackoff, mostBackoff),
			workqueue.TypedRateLimitingQueueConfig[cache.ObjectName]{Name: "multikueue-dispatcher", Clock: o.Clock}),
	}
	return c, c.watch()
}

// Run nominates clusters until ctx ends, from when the hub has Kueue and lets it.
func (c *Controller) Run(ctx context.Context) {
	defer utilruntime.HandleCrashWithContext(ctx)
	ctx = klog.NewContext(ctx, klog.LoggerWithName(klog.FromContext(ctx), "multikueue-dispatcher"))
	if !c.waitUsable(ctx) {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for _, informer := range append(c.kueue.informers(), c.Decisions.Informer()) {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	if !cache.WaitForNamedCacheSyncWithContext(ctx, c.synced...) {
		return
	}
	klog.FromContext(ctx).Info("Nominating clusters for Workloads of Kueue")
	for range c.Workers {
		running.Go(func() {
			for c.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	c.queue.ShutDown()
}

func (c *Controller) next(ctx context.Context) bool {
	name, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(name)
	again, err := c.sync(ctx, name)
	if err != nil {
		if ctx.Err() == nil {
			klog.FromContext(ctx).V(2).Info("Trying again", "workload", name, "reason", err)
		}
		c.queue.AddRateLimited(name)
		return true
	}
	c.queue.Forget(name)
	if again > 0 {
		c.queue.AddAfter(name, again)
	}
	return true
}
