// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package revocation is the controller that ends AuthTokenGrants: it revokes those that are being
// deleted, and deletes those whose cluster is gone or whose tokens have long expired.
package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	informers "clusterpass.dev/pkg/generated/informers/externalversions/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// A grant whose member fails is tried again after a second, and at least every half minute.
	minBackoff = time.Second
	maxBackoff = 30 * time.Second
	// memberTimeout bounds all calls to a member for one grant.
	memberTimeout = 10 * time.Second
	// byProfile is the index of grants by the UID of their ClusterProfile.
	byProfile = "clusterProfileUID"
)

// Members hands out clients for member clusters.
type Members interface {
	member.Members
	// Forget closes the client for the ClusterProfile with that UID.
	Forget(uid types.UID)
}

// Options are what a Controller works with. Every field is required.
type Options struct {
	// HubID identifies this hub on members that several hubs use.
	HubID string
	// Client changes grants, and Grants watches them.
	Client versioned.Interface
	Grants informers.AuthTokenGrantInformer
	// Inventory reads ClusterProfiles as they are stored, and Profiles watches them.
	Inventory inventory.Interface
	Profiles  inventoryinformers.ClusterProfileInformer
	// Members reaches the member clusters.
	Members Members
	// Recorder records events about grants.
	Recorder events.EventRecorder
	// Retention is how long a grant is kept after the last of its tokens has expired.
	Retention time.Duration
	// Workers is how many grants are worked on at once; an eighth of them, but at least one, on one
	// member.
	Workers int
	// Clock is the source of the time.
	Clock clock.WithTicker
}

// Controller ends grants. It is made by New.
type Controller struct {
	Options
	queue    workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced   []cache.InformerSynced
	members  limiter
	recovery recovery
}

// New returns a Controller that has registered with its informers, which the caller starts.
func New(o Options) (*Controller, error) {
	c := &Controller{
		Options:  o,
		members:  limiter{most: max(1, o.Workers/8), busy: map[types.UID]int{}},
		recovery: recovery{waiting: map[types.UID]bool{}},
		queue:    loop.NewQueue[cache.ObjectName]("revocation", o.Clock, minBackoff, maxBackoff),
	}
	c.registerMetrics()
	if err := o.Grants.Informer().AddIndexers(cache.Indexers{byProfile: profileUID}); err != nil {
		return nil, fmt.Errorf("index of grants: %w", err)
	}
	grants, grantsErr := loop.AddHandler("grants", o.Grants.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: c.enqueue,
		UpdateFunc: func(before, obj any) {
			if !isOnlyNoted(before, obj) {
				c.enqueue(obj)
			}
		},
		DeleteFunc: c.forget,
	})
	profiles, profilesErr := loop.AddHandler("ClusterProfiles", o.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(_, obj any) {
			if profile, ok := obj.(*inventoryv1alpha1.ClusterProfile); ok && profile.DeletionTimestamp != nil {
				c.enqueueOf(obj)
			}
		},
		DeleteFunc: c.enqueueOf,
	})
	c.synced = []cache.InformerSynced{grants, profiles}
	return c, errors.Join(grantsErr, profilesErr)
}

func profileUID(obj any) ([]string, error) {
	g, ok := obj.(*v1alpha1.AuthTokenGrant)
	if !ok {
		return nil, fmt.Errorf("a %T among the grants", obj)
	}
	return []string{string(g.Spec.ClusterProfile.UID)}, nil
}

func (c *Controller) enqueue(obj any) {
	if g, ok := obj.(*v1alpha1.AuthTokenGrant); ok {
		c.queue.Add(cache.MetaObjectToName(g))
	}
}

// enqueueOf enqueues all grants of a ClusterProfile that is deleted, or is being deleted.
func (c *Controller) enqueueOf(obj any) {
	profile, ok := loop.Object[*inventoryv1alpha1.ClusterProfile](obj)
	if !ok {
		return
	}
	for _, g := range c.of(profile.UID) {
		c.enqueue(g)
	}
}

// of returns the grants of the ClusterProfile with that UID.
func (c *Controller) of(profile types.UID) []any {
	grants, err := c.Grants.Informer().GetIndexer().ByIndex(byProfile, string(profile))
	if err != nil {
		utilruntime.HandleError(err)
	}
	return grants
}

// forget closes the client for a cluster with the last grant of a ClusterProfile that is gone.
func (c *Controller) forget(obj any) {
	g, ok := loop.Object[*v1alpha1.AuthTokenGrant](obj)
	if !ok || len(c.of(g.Spec.ClusterProfile.UID)) > 0 || c.profile(g) != nil {
		return
	}
	c.Members.Forget(g.Spec.ClusterProfile.UID)
}

// profile returns the ClusterProfile of g as of the last event, or nil if there is none with its
// UID.
func (c *Controller) profile(g *v1alpha1.AuthTokenGrant) *inventoryv1alpha1.ClusterProfile {
	of := g.Spec.ClusterProfile
	profile, err := c.Profiles.Lister().ClusterProfiles(of.Namespace).Get(of.Name)
	if err != nil || profile.UID != of.UID {
		return nil
	}
	return profile
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if ctx, synced := loop.Begin(member.Quiet(ctx), "revocation", c.synced...); synced {
		loop.Run(ctx, c.queue, c.Workers, "grant", c.reconcile)
		c.recovery.probes.Wait()
	}
}

// reconcile does what is due for a grant. It returns after how long to do so again, zero if only a
// change of the grant makes that necessary.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	g, err := c.Grants.Lister().AuthTokenGrants(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, nil //nolint:nilerr // it is gone
	}
	if g.DeletionTimestamp != nil {
		return c.revoke(ctx, g)
	}
	// Finalizers on the profile do not delay the revocation.
	if profile := c.profile(g); profile == nil || profile.DeletionTimestamp != nil {
		return 0, c.endWithoutProfile(ctx, g)
	}
	if left := c.expiry(g).Sub(c.Clock.Now()); left > 0 {
		return left, nil
	}
	// Unless a token of it was issued meanwhile.
	return 0, c.end(ctx, g, &g.ResourceVersion, "Expired", expiredNote(g))
}

// expiry returns when a grant is deleted: Retention after the last of its tokens has expired, or
// after its creation if it never had any.
func (c *Controller) expiry(g *v1alpha1.AuthTokenGrant) time.Time {
	if g.Status.ExpirationCeiling != nil {
		return g.Status.ExpirationCeiling.Add(c.Retention)
	}
	return g.CreationTimestamp.Add(c.Retention)
}

// end deletes g, and records an event that says why. If version is not nil, it deletes g only at
// that resource version.
func (c *Controller) end(ctx context.Context, g *v1alpha1.AuthTokenGrant, version *string, reason, note string) error {
	err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).Delete(ctx, g.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &g.UID, ResourceVersion: version}})
	if err == nil {
		c.Recorder.Eventf(g, nil, eventNormal, reason, "Delete", "%s", note)
	}
	return ignoreGone(err, g)
}

func expiredNote(g *v1alpha1.AuthTokenGrant) string {
	if g.Status.ExpirationCeiling == nil {
		return "No token of this grant was ever issued"
	}
	return "No token of this grant has been valid since " + g.Status.ExpirationCeiling.UTC().Format(time.RFC3339)
}

// busyRetry is after how long to retry a grant whose member is busy with other grants.
const busyRetry = 100 * time.Millisecond

// errBusy says that the maximum number of a member's grants is being reconciled.
const errBusy = loop.RetryError(busyRetry)

// limiter prevents that one member, which may not answer, occupies all workers.
type limiter struct {
	most int
	mu   sync.Mutex
	busy map[types.UID]int
}

// enter returns whether one more grant of a ClusterProfile may be reconciled. If so, the caller
// must call leave afterwards.
func (l *limiter) enter(profile types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[profile] >= l.most {
		return false
	}
	l.busy[profile]++
	return true
}

func (l *limiter) leave(profile types.UID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy[profile]--; l.busy[profile] == 0 {
		delete(l.busy, profile)
	}
}

// No label of these metrics has the name of a cluster, user or grant.
var (
	revocations = metric.CounterVec("grant_revocations_total",
		"Revocations of grants, by result: Revoked, Abandoned, or Failed for each failed attempt.", "result")

	revocationDuration = metric.Histogram("grant_revocation_duration_seconds",
		"Time from the deletion of a grant until its tokens had no rights on the member cluster, in seconds. "+
			"The deletion is stored in whole seconds.", 0.5)

	grantsDesc = metrics.NewDesc("clusterpass_grants",
		"Grants by state: Ready, NotReady, Expired (no token of it is valid any more) or Revoking.", []string{"state"}, nil, metrics.ALPHA, "")

	oldestDesc = metrics.NewDesc("clusterpass_grant_revocation_oldest_seconds",
		"Time since the deletion of the grant that has waited longest to be revoked, in seconds; 0 if none waits.", nil, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// registerMetrics registers the metrics of this controller with the legacy registry. They count the
// grants of the first one.
func (c *Controller) registerMetrics() {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(revocations, revocationDuration)
		metric.Start(revocations, "Revoked", "Abandoned", "Failed")
		legacyregistry.CustomMustRegister(&collector{controller: c})
	})
}

// collector counts grants at each scrape.
type collector struct {
	metrics.BaseStableCollector
	controller *Controller
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) {
	ch <- grantsDesc
	ch <- oldestDesc
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	grants, err := c.controller.Grants.Lister().List(labels.Everything())
	if err != nil {
		return
	}
	counts := map[string]int{"Ready": 0, "NotReady": 0, "Expired": 0, "Revoking": 0}
	var oldest time.Duration
	for _, g := range grants {
		counts[c.controller.state(g)]++
		if g.DeletionTimestamp != nil {
			oldest = max(oldest, c.controller.Clock.Since(g.DeletionTimestamp.Time))
		}
	}
	ch <- metrics.NewLazyConstMetric(oldestDesc, metrics.GaugeValue, oldest.Seconds())
	for state, count := range counts {
		ch <- metrics.NewLazyConstMetric(grantsDesc, metrics.GaugeValue, float64(count), state)
	}
}

func (c *Controller) state(g *v1alpha1.AuthTokenGrant) string {
	switch ceiling := g.Status.ExpirationCeiling; {
	case g.DeletionTimestamp != nil:
		return "Revoking"
	case ceiling != nil && ceiling.Time.Before(c.Clock.Now()):
		return "Expired"
	case meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.GrantReady):
		return "Ready"
	default:
		return "NotReady"
	}
}
