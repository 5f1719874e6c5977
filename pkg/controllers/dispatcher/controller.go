// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dispatcher is a dispatcher for MultiKueue that follows Placements. For each Workload of
// Kueue, it nominates the clusters that the Placement named by its Job has selected (KEP-5313,
// Kueue's KEP-693). So the Job selects the clusters, and not its queue.
package dispatcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/decision"
)

const (
	// minBackoff and maxBackoff bound the delay before a retry after a failure.
	minBackoff = 200 * time.Millisecond
	maxBackoff = time.Minute
	// usablePeriod is how often the controller checks whether the hub has Kueue, and the controller
	// has the rights that it needs.
	usablePeriod = 15 * time.Second
)

// Options configure a Controller. Every field is required.
type Options struct {
	// Hub is used for discovery and for reviews of rights.
	Hub kubernetes.Interface
	// Objects reads and writes objects of Kueue.
	Objects dynamic.Interface
	// Decisions is an informer of PlacementDecisions that the controller runs.
	Decisions inventoryinformers.PlacementDecisionInformer
	// Recorder records events about nominations, or why there are none.
	Recorder events.EventRecorder
	// Workers is how many Workloads are reconciled in parallel.
	Workers int
	// Clock is the clock.
	Clock clock.WithTicker
}

// Controller nominates clusters. Use New.
type Controller struct {
	Options
	kueue  *watched
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced []cache.InformerSynced

	mu sync.Mutex
	// waiting has the progress of Workloads that wait for a cluster.
	waiting map[cache.ObjectName]*progress
}

// New returns a Controller with handlers at its informers. Run starts the informers.
func New(o Options) (*Controller, error) {
	watched, err := newWatched(o.Objects)
	if err != nil {
		return nil, fmt.Errorf("watching Kueue: %w", err)
	}
	registerMetrics()
	c := &Controller{
		Options: o,
		kueue:   watched,
		waiting: map[cache.ObjectName]*progress{},
		queue:   loop.NewQueue[cache.ObjectName]("multikueue-dispatcher", o.Clock, minBackoff, maxBackoff),
	}
	return c, c.watch()
}

// Run nominates clusters until ctx ends. It first waits until the hub has Kueue and
// PlacementDecisions, and the controller has its rights.
func (c *Controller) Run(ctx context.Context) {
	defer utilruntime.HandleCrashWithContext(ctx)
	ctx, _ = loop.Begin(ctx, "multikueue-dispatcher")
	if !c.waitUsable(ctx) {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	k := c.kueue
	for _, informer := range []cache.SharedIndexInformer{k.workloads, k.queues, k.checks, k.configs, k.clusters, c.Decisions.Informer()} {
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	if cache.WaitForNamedCacheSyncWithContext(ctx, c.synced...) {
		klog.FromContext(ctx).Info("Nominating clusters for Workloads of Kueue")
		loop.Run(ctx, c.queue, c.Workers, "workload", c.reconcile)
	}
}

// waitUsable waits until the hub has Kueue and PlacementDecisions, and the controller manager may
// nominate. It returns false when ctx has ended before.
func (c *Controller) waitUsable(ctx context.Context) bool {
	said := ""
	err := wait.PollUntilContextCancel(ctx, usablePeriod, true, func(ctx context.Context) (bool, error) {
		err := c.usable(ctx)
		if err != nil && err.Error() != said {
			said = err.Error()
			klog.FromContext(ctx).V(2).Info("Not nominating clusters for Workloads of Kueue", "reason", said)
		}
		return err == nil, nil
	})
	return err == nil
}

// usable returns nil if the hub has Kueue and PlacementDecisions, and the controller manager has
// the rights of the ClusterRole clusterpass:multikueue-dispatcher.
func (c *Controller) usable(ctx context.Context) error {
	// Without this right, no other is reviewed: if no dispatcher is wanted, this goes on for ever.
	if err := kueue.Usable(ctx, c.Hub, []string{"patch"}, kueue.Workloads+"/status"); err != nil {
		return err
	}
	err := kueue.Usable(ctx, c.Hub, []string{"list", "watch"},
		kueue.Workloads, kueue.LocalQueues, kueue.AdmissionChecks, kueue.MultiKueueConfigs, kueue.MultiKueueClusters)
	if err != nil {
		return err
	}
	return decision.Served(ctx, c.Hub.Discovery())
}

func (c *Controller) watch() error {
	for _, w := range []struct {
		what     string
		informer cache.SharedIndexInformer
		changed  func(object metav1.Object)
	}{
		{kueue.Workloads, c.kueue.workloads, c.workloadChanged},
		{kueue.LocalQueues, c.kueue.queues, c.queueChanged},
		{kueue.AdmissionChecks, c.kueue.checks, c.kueueChanged},
		{kueue.MultiKueueConfigs, c.kueue.configs, c.kueueChanged},
		{kueue.MultiKueueClusters, c.kueue.clusters, c.kueueChanged},
		{"PlacementDecisions", c.Decisions.Informer(), c.decisionChanged},
	} {
		handle := loop.Typed(func(object metav1.ObjectMetaAccessor) { w.changed(object.GetObjectMeta()) })
		synced, err := loop.AddHandler(w.what, w.informer, loop.Always(handle))
		if err != nil {
			return err
		}
		c.synced = append(c.synced, synced)
	}
	return nil
}

func (c *Controller) workloadChanged(object metav1.Object) {
	c.queue.Add(cache.MetaObjectToName(object))
}

// queueChanged enqueues the Workloads of a LocalQueue, which may name another Placement now.
func (c *Controller) queueChanged(object metav1.Object) {
	c.addAll(byQueue, object.GetNamespace()+"/"+object.GetName())
}

// kueueChanged enqueues all waiting Workloads. Kueue's configuration objects change rarely.
func (c *Controller) kueueChanged(metav1.Object) {
	c.add(c.kueue.workloads.GetIndexer().List())
}

// decisionChanged enqueues the Workloads that name the Placement of a decision, or whose LocalQueue
// names it.
func (c *Controller) decisionChanged(object metav1.Object) {
	key := object.GetNamespace() + "/" + object.GetLabels()[inventoryv1alpha1.PlacementKeyLabel]
	c.addAll(byPlacement, key)
	queues, _ := c.kueue.queues.GetIndexer().IndexKeys(byPlacement, key)
	for _, queue := range queues {
		c.addAll(byQueue, queue)
	}
}

// addAll enqueues the waiting Workloads with a value in an index.
func (c *Controller) addAll(index, value string) {
	objs, _ := c.kueue.workloads.GetIndexer().ByIndex(index, value)
	c.add(objs)
}

// add enqueues the waiting Workloads.
func (c *Controller) add(objs []any) {
	for _, obj := range objs {
		if w, ok := obj.(*workload); ok && w.waits() {
			c.queue.Add(cache.MetaObjectToName(w))
		}
	}
}

var nominations = metric.Counter("multikueue_nominations_total",
	"How often clusters were nominated for a Workload of Kueue, or nominations taken back.")

// registerMetrics registers the metrics of this controller with the legacy registry.
var registerMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(nominations) })
