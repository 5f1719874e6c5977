// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package health is the controller that maintains the status of the ClusterProfiles of some cluster
// managers. It probes the health of each member cluster, and writes the result into the status of
// its profile when it changes. It also sets the label inventory-member-id of profiles without it.
// It writes nothing to profiles of other managers. If clusterpass has access to their members, it
// probes these, too, and records events about that access.
//
// Consumers of KEP-4322 rebuild their connections at any event of a ClusterProfile, so a healthy
// fleet must cause no such events. Observations are kept in memory. They are written only when the
// condition, its reason, the version or a property has changed, and at most once in WriteInterval
// for each profile.
package health

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/member"
)

// Options configure a Controller. Every field is required.
type Options struct {
	// Managers are the spec.clusterManager.name of the profiles that the controller maintains. It does
	// not change others: if clusterpass has access to their members, it records events about that.
	Managers []string
	// Client writes the status and one label of ClusterProfiles; Profiles watches them.
	Client   inventory.Interface
	Profiles inventoryinformers.ClusterProfileInformer
	// Members has the clients for the member clusters, and OnChange registers a handler for changes of
	// their Secrets.
	Members  Members
	OnChange func(changed func(profile cache.ObjectName)) error
	// Recorder records events when the health of a member changes.
	Recorder events.EventRecorder
	// ProbePeriod is how often a member is probed. An outage is reported after two probes in a row
	// have failed.
	ProbePeriod time.Duration
	// FactsPeriod is how often the version and the properties of a member are read.
	FactsPeriod time.Duration
	// WriteInterval is the minimum time between two writes to one profile (KEP-4322: 30 s). An
	// outage is reported within two probe periods if WriteInterval is not longer than these.
	WriteInterval time.Duration
	// Workers is how many members are probed in parallel.
	Workers int
	// Clock is the clock.
	Clock clock.WithTicker
}

// Members are the member clusters, as member.Pool has them.
type Members interface {
	member.Members
	member.CachedMembers
}

// Controller maintains the health in ClusterProfiles. Use New.
type Controller struct {
	Options
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced cache.InformerSynced

	mu sync.Mutex
	// seen has the observations of each profile's member, by UID of the profile.
	seen map[types.UID]*observed
}

// New returns a Controller with a handler at its informer, which the caller starts.
func New(o Options) (*Controller, error) {
	c := &Controller{
		Options: o,
		queue:   loop.NewQueue[cache.ObjectName]("health", o.Clock, o.ProbePeriod, o.ProbePeriod),
		seen:    map[types.UID]*observed{},
	}
	c.registerMetrics()
	if err := o.OnChange(c.secretChanged); err != nil {
		return nil, err
	}
	var err error
	c.synced, err = loop.AddHandler("ClusterProfiles", o.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc:    loop.Typed(c.added),
		UpdateFunc: c.updated,
		DeleteFunc: loop.Typed(c.deleted),
	})
	return c, err
}

// isOurs returns whether the controller writes to a profile.
func (c *Controller) isOurs(profile *inventoryv1alpha1.ClusterProfile) bool {
	return slices.Contains(c.Managers, profile.Spec.ClusterManager.Name)
}

// added probes a new profile at once, and others in their turn: a restart must not cause a thousand
// probes in a second.
func (c *Controller) added(profile *inventoryv1alpha1.ClusterProfile) {
	if health(profile) == nil {
		c.queue.Add(cache.MetaObjectToName(profile))
		return
	}
	c.queue.AddAfter(cache.MetaObjectToName(profile), c.untilNext(profile.UID))
}

// updated probes at once if the access to the member has changed.
func (c *Controller) updated(oldObj, obj any) {
	old, wasProfile := oldObj.(*inventoryv1alpha1.ClusterProfile)
	profile, isProfile := obj.(*inventoryv1alpha1.ClusterProfile)
	if wasProfile && isProfile &&
		(old.UID != profile.UID || !equality.Semantic.DeepEqual(old.Status.AccessProviders, profile.Status.AccessProviders)) {
		c.queue.Add(cache.MetaObjectToName(profile))
	}
}

// secretChanged probes at once by a Secret that has changed.
func (c *Controller) secretChanged(name cache.ObjectName) {
	if _, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name); err == nil {
		c.queue.Add(name)
	}
}

func (c *Controller) deleted(profile *inventoryv1alpha1.ClusterProfile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seen, profile.UID)
}

// untilNext returns the time until the next regular probe of a profile. Profiles have different
// times within the period.
func (c *Controller) untilNext(uid types.UID) time.Duration {
	offset := time.Duration(loop.Phase(uid) * float64(c.ProbePeriod))
	since := time.Duration(c.Clock.Now().UnixNano()) % c.ProbePeriod
	left := offset - since
	if left <= 0 {
		left += c.ProbePeriod
	}
	return left
}

// Run probes until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if ctx, synced := loop.Begin(member.Quiet(ctx), "health", c.synced); synced {
		loop.Run(ctx, c.queue, c.Workers, "cluster", c.reconcile)
	}
}

// reconcile probes one member. It returns after how long to do so again.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, nil //nolint:nilerr // it was deleted
	}
	if !c.isOurs(profile) {
		return c.syncOther(ctx, profile), nil
	}
	return c.sync(ctx, profile), nil
}

// sync probes the member of a profile, writes changes, and returns after how long to do so again.
func (c *Controller) sync(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) time.Duration {
	o := c.of(profile)
	c.observe(ctx, profile, o)
	if ctx.Err() != nil {
		return c.ProbePeriod
	}
	again := c.untilProbe(profile, o)
	next := desired(profile, o)
	if next == nil {
		c.identify(ctx, profile, o)
		return again
	}
	if wait := o.lastWrite.Add(c.WriteInterval).Sub(c.Clock.Now()); wait > 0 {
		return min(again, wait)
	}
	if err := c.write(ctx, profile, next, o); err != nil {
		klog.FromContext(ctx).Info("The status of a ClusterProfile was not written; trying again", "reason", err)
	}
	return again
}

// untilProbe returns the time until the next probe after one whose outcome is noted.
func (c *Controller) untilProbe(profile *inventoryv1alpha1.ClusterProfile, o *observed) time.Duration {
	again := c.untilNext(profile.UID)
	if o.doubtful {
		// One lost packet is not an outage, and an API server that is starting refuses requests that it
		// allows later.
		return min(again, c.ProbePeriod/reprobe)
	}
	return again
}

// of returns the observations of a profile's member. Only one worker at a time processes a profile.
func (c *Controller) of(profile *inventoryv1alpha1.ClusterProfile) *observed {
	c.mu.Lock()
	defer c.mu.Unlock()
	o, ok := c.seen[profile.UID]
	if !ok {
		o = &observed{}
		c.seen[profile.UID] = o
	}
	return o
}

// write stores a new status, and records an event if the health of the member has changed.
func (c *Controller) write(ctx context.Context, profile, next *inventoryv1alpha1.ClusterProfile, o *observed) error {
	patch, err := patchOf(profile, next)
	if err != nil {
		return err
	}
	_, err = c.Client.ApisV1alpha1().ClusterProfiles(profile.Namespace).Patch(ctx, profile.Name, types.MergePatchType, patch,
		patchOptions, "status")
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		// An event with the newer profile will follow.
		return nil
	case err != nil:
		return errors.Join(err, ctx.Err())
	}
	o.lastWrite = c.Clock.Now()
	c.recordChanges(profile, next)
	return nil
}

// No label of these metrics has the name of a cluster.
var (
	probes = metric.CounterVec("member_probes_total",
		"Probes of member clusters, by result: Ready, or the reason that the condition ControlPlaneHealthy then has.", "result")

	probeDuration = metric.Histogram("member_probe_duration_seconds", "How long probes of member clusters take, in seconds.", 0.001)

	clustersDesc = metrics.NewDesc("clusterpass_clusters",
		"ClusterProfiles of these managers by the status of their condition ControlPlaneHealthy: True, False or Unknown.",
		[]string{"healthy"}, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// registerMetrics registers the metrics of this controller with the legacy registry. They count the
// clusters of the first one.
func (c *Controller) registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(probes, probeDuration)
		metric.Start(probes, ReasonReady, ReasonNotReady, ReasonTimeout, ReasonConnectionRefused, ReasonUnreachable, ReasonTLSFailed,
			ReasonUnauthorized, ReasonCredentialExpired, ReasonForbidden, ReasonCredentialPluginFailed, ReasonNoAccess, ReasonUnexpectedAnswer)
		legacyregistry.CustomMustRegister(&collector{controller: c})
	})
}

// collector counts ClusterProfiles at each scrape.
type collector struct {
	metrics.BaseStableCollector
	controller *Controller
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) { ch <- clustersDesc }

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	profiles, err := c.controller.Profiles.Lister().List(labels.Everything())
	if err != nil {
		return
	}
	counts := map[metav1.ConditionStatus]int{metav1.ConditionTrue: 0, metav1.ConditionFalse: 0, metav1.ConditionUnknown: 0}
	for _, profile := range profiles {
		if !c.controller.isOurs(profile) {
			continue
		}
		status := metav1.ConditionUnknown
		if condition := health(profile); condition != nil {
			status = condition.Status
		}
		counts[status]++
	}
	for status, count := range counts {
		ch <- metrics.NewLazyConstMetric(clustersDesc, metrics.GaugeValue, float64(count), string(status))
	}
}
