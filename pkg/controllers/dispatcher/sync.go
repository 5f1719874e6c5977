// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/controllers/internal/kueue"
)

// fieldManager owns the nominated clusters. Kueue takes the field over by its
// MutatingAdmissionPolicy for dispatchers, or ours.
const fieldManager = "clusterpass-multikueue-dispatcher"

const (
	// dispatcherName is our name in Kueue's configuration.
	dispatcherName = "clusterpass.dev/placement"
	// othersPeriod is how long a nomination by something else is left. Kueue itself, if its
	// configuration names no dispatcher, would write its own again at once.
	othersPeriod = time.Minute
)

// reconcile nominates clusters for a Workload that waits for one. It returns after how long to do
// so again, zero if only a change makes that necessary.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	w, err := get[workload](c.kueue.workloads, name.String())
	if err != nil {
		return 0, err
	}
	if w == nil || !w.waits() {
		c.forget(name)
		return 0, nil
	}
	config, err := c.configOf(w)
	if err != nil || config == nil {
		return 0, err
	}
	want, err := c.nominate(w, config)
	if err != nil {
		return 0, err
	}
	p := c.progressOf(name)
	if p.isBehind(w) {
		return 0, nil
	}
	if sameClusters(want.clusters, w.Status.NominatedClusterNames) {
		c.report(w, p, want)
		return 0, nil
	}
	if left := p.at.Add(othersPeriod).Sub(c.Clock.Now()); left > 0 && p.isOthers(w) {
		c.report(w, p, nomination{reason: reasonOthers, why: "somebody else nominates " + strings.Join(w.Status.NominatedClusterNames, ", ") +
			": Kueue's configuration must have multiKueue.dispatcherName: " + dispatcherName})
		return left, nil
	}
	if err := c.write(ctx, w, p, want.clusters); err != nil {
		return 0, fmt.Errorf("nominating: %w", err)
	}
	c.report(w, p, want)
	return 0, nil
}

// write nominates clusters for a Workload, and nothing else. By the UID it fails for another
// Workload of the same name.
func (c *Controller) write(ctx context.Context, w *workload, p *progress, clusters []string) error {
	nominated := make([]any, len(clusters))
	for i, name := range clusters {
		nominated[i] = name
	}
	patch := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"nominatedClusterNames": nominated}}}
	patch.SetGroupVersionKind(kueue.GroupVersion.WithKind("Workload"))
	patch.SetNamespace(w.Namespace)
	patch.SetName(w.Name)
	patch.SetUID(w.UID)
	written, err := c.Objects.Resource(kueue.GroupVersion.WithResource(kueue.Workloads)).Namespace(w.Namespace).
		ApplyStatus(ctx, w.Name, patch, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
	if err != nil {
		return err
	}
	p.nominated, p.version, p.at = clusters, written.GetResourceVersion(), c.Clock.Now()
	nominations.Inc()
	klog.FromContext(ctx).V(2).Info("Nominated", "workload", klog.KObj(w), "clusters", clusters)
	return nil
}

// report records one event on a Workload about what it was nominated for, or why it was not.
func (c *Controller) report(w *workload, p *progress, nominated nomination) {
	kind, message := corev1.EventTypeNormal, strings.Join(nominated.clusters, ", ")+": "+nominated.why
	if nominated.reason != reasonNominated {
		kind, message = corev1.EventTypeWarning, nominated.why
	}
	if p.told == message {
		return
	}
	p.told = message
	c.Recorder.Eventf(&corev1.ObjectReference{
		APIVersion: kueue.GroupVersion.String(), Kind: "Workload",
		Namespace: w.Namespace, Name: w.Name, UID: w.UID, ResourceVersion: w.ResourceVersion,
	}, nil, kind, nominated.reason, "Nominate", "%s", message)
}

// progress is what was done for a waiting Workload.
type progress struct {
	// told is what the last event on it said.
	told string
	// nominated is what was written last, version the Workload's by then, and at the time; zero before
	// the first write.
	nominated []string
	version   string
	at        time.Time
}

// isBehind returns whether the cache has the Workload from before the last write, whose event is on
// its way.
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

// sameClusters returns whether two lists have the same clusters. Their order is of no importance to
// Kueue.
func sameClusters(a, b []string) bool { return sets.New(a...).Equal(sets.New(b...)) }

// progressOf returns the progress of a Workload. Only the worker that has the Workload from the
// queue may call it.
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
