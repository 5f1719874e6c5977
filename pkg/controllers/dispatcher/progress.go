// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
)

// progress is what was done for a waiting Workload.
type progress struct {
	// told is what the last event on it said.
	told string
	// nominated is what was written last, version the Workload's by then, and at the time; zero before the first write.
	nominated []string
	version   string
	at        time.Time
}

// isBehind returns whether the cache has the Workload from before the last write, whose event is on its way.
func (p *progress) isBehind(w *workload) bool {
	if p.version == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(w.ResourceVersion, p.version)
	return err == nil && order < 0
}

// isOthers returns whether something else has overwritten our nomination of a Workload.
func (p *progress) isOthers(w *workload) bool {
	return p.version != "" && len(w.Status.NominatedClusterNames) > 0 && !sameClusters(w.Status.NominatedClusterNames, p.nominated)
}

// sameClusters returns whether two lists have the same clusters. Their order is of no importance to Kueue.
func sameClusters(a, b []string) bool { return sets.New(a...).Equal(sets.New(b...)) }

// progressOf returns the progress of a Workload. Only the worker that has the Workload from the queue may call it.
func (c *Controller) progressOf(name cache.ObjectName) *progress {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.waiting[name]
	if p == nil {
		p = &progress{}
		c.waiting[name] = p
	}
	return p
}

// forget drops the progress of a Workload that does not wait any more.
func (c *Controller) forget(name cache.ObjectName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, name)
}
