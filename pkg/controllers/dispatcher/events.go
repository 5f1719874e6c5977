// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/kueue"
	"clusterpass.dev/pkg/controllers/internal/loop"
)

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
		handle := func(obj any) {
			if accessor, ok := loop.Object[metav1.ObjectMetaAccessor](obj); ok {
				w.changed(accessor.GetObjectMeta())
			}
		}
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
	queues, err := c.kueue.queues.GetIndexer().IndexKeys(byPlacement, key)
	if err != nil {
		return
	}
	for _, queue := range queues {
		c.addAll(byQueue, queue)
	}
}

// addAll enqueues the waiting Workloads with a value in an index.
func (c *Controller) addAll(index, value string) {
	if objs, err := c.kueue.workloads.GetIndexer().ByIndex(index, value); err == nil {
		c.add(objs)
	}
}

// add enqueues the waiting Workloads.
func (c *Controller) add(objs []any) {
	for _, obj := range objs {
		if w, ok := obj.(*workload); ok && w.waits() {
			c.queue.Add(cache.MetaObjectToName(w))
		}
	}
}
