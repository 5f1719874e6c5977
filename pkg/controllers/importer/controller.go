// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package importer is the controller that keeps a ClusterProfile for each cluster of platforms that
// make none: Karmada and Cluster API. The profile has a manager of its own, belongs to the
// platform's Cluster, is deleted with it, and has the access provider that leads to the platform's
// Secret. The controller reads no Secret and calls no member.
//
// It writes when something has changed, and leaves profiles of other managers alone. What it cannot
// do is an event of the Cluster.
package importer

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/words"
)

const (
	workers = 4
	// minBackoff and maxBackoff bound the delay after a failure.
	minBackoff, maxBackoff = time.Second, time.Minute
	// rereading is after how long a cache that is behind, or a watch that was started, is looked at
	// again.
	rereading = time.Second
	// reopening is how often the controller looks whether the hub serves the platform's API by now,
	// and lets it read it.
	reopening = 15 * time.Second
)

var errNotRead = errors.New("the Clusters are not read yet")

// Access finds what leads to the cluster of a profile, as member.Pool does.
type Access interface {
	// Implied returns the entry of a provider, whatever the profile says.
	Implied(profile *inventoryv1alpha1.ClusterProfile, provider string) (*inventoryv1alpha1.AccessProvider, error)
}

// Options configure a Controller. Every field is required.
type Options struct {
	// Platforms are those that are imported. Without any, the controller does nothing.
	Platforms []*Platform
	// Hub knows which APIs and rights there are; Objects reads Clusters and writes status.
	Hub     kubernetes.Interface
	Objects dynamic.Interface
	// Inventory writes ClusterProfiles; Profiles watches them.
	Inventory inventory.Interface
	Profiles  inventoryinformers.ClusterProfileInformer
	// Access finds the access of a cluster, and OnChange registers a handler for changes of it.
	Access   Access
	OnChange func(changed func(profile cache.ObjectName)) error
	// Recorder records events about Clusters.
	Recorder events.EventRecorder
	Clock    clock.WithTicker
}

// Controller keeps ClusterProfiles for the clusters of other platforms. Use New.
type Controller struct {
	Options
	queue     workqueue.TypedRateLimitingInterface[item]
	synced    cache.InformerSynced
	informers map[*Platform]*ondemand.Informers[*reader]

	mu sync.Mutex
	// said has the last event of each Cluster, and the reason why those of a namespace are not read:
	// neither is repeated.
	said map[item]string
}

// item is one Cluster. Without a name it is the watch of a namespace.
type item struct {
	platform *Platform
	cluster  cache.ObjectName
}

// String names the Cluster in logs.
func (i item) String() string { return i.platform.group + "/" + i.cluster.String() }

// New returns a Controller with a handler at its informer, which the caller starts.
func New(o Options) (*Controller, error) {
	c := &Controller{
		Options: o, queue: loop.NewQueue[item]("importer", o.Clock, minBackoff, maxBackoff),
		informers: map[*Platform]*ondemand.Informers[*reader]{}, said: map[item]string{},
	}
	if len(o.Platforms) == 0 {
		return c, nil
	}
	if err := o.OnChange(c.enqueue); err != nil {
		return nil, err
	}
	var err error
	c.synced, err = loop.AddHandler("ClusterProfiles", o.Profiles.Informer(),
		loop.Always(loop.Typed(func(profile *inventoryv1alpha1.ClusterProfile) { c.enqueue(cache.MetaObjectToName(profile)) })))
	return c, err
}

// enqueue enqueues the Clusters that may have that profile.
func (c *Controller) enqueue(profile cache.ObjectName) {
	for _, platform := range c.Platforms {
		if cluster, ok := platform.clusterOf(profile); ok {
			c.queue.Add(item{platform, cluster})
		}
	}
}

// Run imports until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if len(c.Platforms) == 0 {
		return
	}
	ctx, synced := loop.Begin(ctx, "importer", c.synced)
	if !synced {
		return
	}
	for _, platform := range c.Platforms {
		handler := changed(func(cluster *unstructured.Unstructured) { c.queue.Add(item{platform, cache.MetaObjectToName(cluster)}) })
		c.informers[platform] = ondemand.New(ctx, c.open(platform), handler, errNotRead)
		for _, namespace := range platform.watched {
			c.queue.Add(item{platform, cache.NewObjectName(namespace, "")})
		}
	}
	loop.Run(ctx, c.queue, workers, "cluster", c.reconcile)
}

// changed returns a handler for Clusters that have changed in what keep keeps. Karmada writes their
// status all the time.
func changed(enqueue func(cluster *unstructured.Unstructured)) cache.ResourceEventHandler {
	handler := loop.Always(loop.Typed(enqueue))
	handler.UpdateFunc = func(oldObj, obj any) {
		old, wasCluster := oldObj.(*unstructured.Unstructured)
		cluster, isCluster := obj.(*unstructured.Unstructured)
		if !wasCluster || !isCluster {
			return
		}
		old = old.DeepCopy()
		old.SetResourceVersion(cluster.GetResourceVersion())
		if !equality.Semantic.DeepEqual(old, cluster) {
			enqueue(cluster)
		}
	}
	return handler
}

// watch starts the watch of a platform's Clusters in a namespace. While it can't work, it is tried
// again.
func (c *Controller) watch(ctx context.Context, i item) error {
	_, err := c.informers[i.platform].Start(ctx, i.cluster.Namespace)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNotRead):
		return loop.RetryError(rereading)
	}
	if c.isNews(i, err.Error()) {
		klog.FromContext(ctx).Info("Clusters are not imported yet; trying again", "reason", err)
	}
	return loop.RetryError(reopening)
}

// say records an event of a Cluster, unless it is the last one.
func (c *Controller) say(i item, cluster *unstructured.Unstructured, kind, reason, message string) {
	if c.isNews(i, reason+message) {
		c.Recorder.Eventf(cluster, nil, kind, reason, "Import", "%s", words.Message(message))
	}
}

// warn says that a Cluster is not imported, or not reached.
func (c *Controller) warn(i item, cluster *unstructured.Unstructured, reason, message string) {
	c.say(i, cluster, corev1.EventTypeWarning, reason, message)
}

func (c *Controller) isNews(about item, text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said[about] == text {
		return false
	}
	c.said[about] = text
	return true
}

func (c *Controller) forget(about item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.said, about)
}
