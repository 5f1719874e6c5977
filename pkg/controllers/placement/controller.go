// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placement is the controller for Placements. pkg/scheduling decides, and the controller
// writes the decisions into PlacementDecisions (KEP-5313), best cluster first. A PlacementDecision
// has at most 100 clusters, so a decision takes several: each of them is a slice of the decision.
//
// An unchanged decision causes no write. A cluster that stays selected is in at least one slice at
// all times.
//
// To follow one Placement, read the files in this order:
//
//	controller.go  New and Run; the decisions of the last run, read from the slices
//	events.go      what changes in the fleet, and which Placements an event enqueues
//	sync.go        reconcile: the review of the author's access, the compiled spec, and a pass
//	shares.go      how long the expressions of a namespace may take
//	decisions.go   the slices of a decision, and their writes
//	steps.go       the order of these writes
//	status.go      the status and the events of a Placement
package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	informers "clusterpass.dev/pkg/generated/informers/externalversions/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// minBackoff and maxBackoff bound the delay before a retry after a failure.
	minBackoff = 200 * time.Millisecond
	maxBackoff = time.Minute
	// byProfile is the index of ClusterScores by their ClusterProfile.
	byProfile = "clusterProfile"
	// byOwner is the index of PlacementDecisions by the UID of their Placement.
	byOwner = "owner"
	// servedPeriod is how often the controller looks for PlacementDecisions on a hub without them.
	servedPeriod = 5 * time.Second
)

// Options configure a Controller. Every field except for User is required.
type Options struct {
	// Hub reviews the rights of authors.
	Hub kubernetes.Interface
	// Client writes the status of Placements. Inventory writes PlacementDecisions.
	Client    versioned.Interface
	Inventory inventory.Interface
	// Placements, Scores and Profiles are informers that the caller runs.
	Placements informers.PlacementInformer
	Scores     informers.ClusterScoreInformer
	Profiles   inventoryinformers.ClusterProfileInformer
	// Decisions and Namespaces are informers that the controller runs.
	Decisions  inventoryinformers.PlacementDecisionInformer
	Namespaces coreinformers.NamespaceInformer
	// User is the username of the controller on the hub. It is empty if unknown.
	User string
	// Recorder records events about decisions.
	Recorder events.EventRecorder
	// Workers is how many placements are reconciled in parallel.
	Workers int
	// Clock is the clock.
	Clock clock.WithTicker
}

// Controller reconciles placements. Use New.
type Controller struct {
	Options
	synced []cache.InformerSynced
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	fleet  *scheduling.Fleet
	shares *shares

	// mu guards states, and those fields of them that say so.
	mu sync.Mutex
	// states has the states of placements that have been reconciled.
	states map[cache.ObjectName]*placementState
}

// New returns a Controller with handlers at its informers.
func New(o Options) (*Controller, error) {
	c := &Controller{
		Options: o,
		fleet:   scheduling.NewFleet(),
		shares:  newShares(o.Workers),
		states:  map[cache.ObjectName]*placementState{},
		queue: loop.NewOrderedQueue("placement", o.Clock,
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](minBackoff, maxBackoff),
			loop.NewTurns(func(placement cache.ObjectName) string { return placement.Namespace })),
	}
	if err := o.Scores.Informer().AddIndexers(cache.Indexers{byProfile: profileOf}); err != nil {
		return nil, fmt.Errorf("indexing ClusterScores: %w", err)
	}
	if err := o.Decisions.Informer().AddIndexers(cache.Indexers{byOwner: ownerOf}); err != nil {
		return nil, fmt.Errorf("indexing PlacementDecisions: %w", err)
	}
	registerMetrics()
	return c, c.watch()
}

// Run reconciles placements until ctx ends. It first waits until the hub serves PlacementDecisions.
func (c *Controller) Run(ctx context.Context) {
	ctx, synced := loop.Begin(ctx, "placement", c.Placements.Informer().HasSynced)
	if !synced || !c.waitServed(ctx) {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { c.Decisions.Informer().RunWithContext(ctx) })
	running.Go(func() { c.Namespaces.Informer().RunWithContext(ctx) })
	if !cache.WaitForNamedCacheSyncWithContext(ctx, c.synced...) {
		return
	}
	if err := c.restore(); err != nil {
		klog.FromContext(ctx).Error(err, "What was decided before can't be read")
		return
	}
	loop.Run(ctx, c.queue, c.Workers, "placement", c.reconcile)
}

// waitServed waits until the hub serves PlacementDecisions, and returns false if ctx ends first.
// Until then a condition of each placement says that the hub does not.
func (c *Controller) waitServed(ctx context.Context) bool {
	err := wait.PollUntilContextCancel(ctx, servedPeriod, true, func(ctx context.Context) (bool, error) {
		err := decision.Served(ctx, c.Hub.Discovery())
		if errors.Is(err, decision.ErrNotServed) {
			err = errors.Join(err, c.updateAllNotServed(ctx))
		}
		if err != nil {
			klog.FromContext(ctx).V(2).Info("Not deciding on placements", "reason", err)
		}
		return err == nil, nil
	})
	return err == nil
}

// restore reads the decisions of the last run into the fleet. They count for the balance of other
// placements even before their placement has a plan, and its first pass continues from them.
func (c *Controller) restore() error {
	all, err := c.Placements.Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	for _, placement := range all {
		decided, err := c.lastDecided(placement)
		if err != nil {
			return err
		}
		c.fleet.SetDecision(cache.MetaObjectToName(placement).AsNamespacedName(), scheduling.NewDecision(decided, placement.Status.LastMoveTime))
	}
	return nil
}

// lastDecided returns the clusters that this controller has decided for a placement, as of its
// slices. It ignores forged slices.
func (c *Controller) lastDecided(placement *v1alpha1.Placement) ([]types.NamespacedName, error) {
	have, err := c.slicesOf(placement)
	return decision.AllClusters(slices.DeleteFunc(have, c.isForged)), err
}

// isForged returns whether somebody else than this controller wrote the slice last. Such a slice is
// not a decision. Hubs older than Kubernetes 1.28 do not know the controller's name: there, every
// slice counts.
func (c *Controller) isForged(slice *inventoryv1alpha1.PlacementDecision) bool {
	writer := slice.Annotations[v1alpha1.AnnotationDecisionWriter]
	return c.User != "" && writer != c.User && writer != v1alpha1.ControllerManagerUser
}

var (
	passes = metric.Counter("placement_passes_total", "Passes that decided which clusters a Placement selects.")
	writes = metric.Counter("placement_decision_writes_total", "PlacementDecisions that were created, updated or deleted.")

	// registerMetrics registers the metrics of this controller with the legacy registry.
	registerMetrics = sync.OnceFunc(func() { legacyregistry.MustRegister(passes, writes) })
)
