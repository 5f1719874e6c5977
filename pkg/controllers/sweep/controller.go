// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package sweep is the controller that compares, slowly and one member cluster after the other,
// what is there of grants with what should be: it repairs what was changed, and removes what
// belongs to no grant.
package sweep

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	informers "clusterpass.dev/pkg/generated/informers/externalversions/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

const (
	// minBackoff is when to try a member again that failed; the most is the period.
	minBackoff = 5 * time.Second
	// jitter spreads the members over the period.
	jitter = 0.2
	// memberTimeout bounds all calls of one sweep to a member.
	memberTimeout = time.Minute
)

// Options are what a Controller works with. Every field is required.
type Options struct {
	// HubID identifies this hub on members that several hubs use.
	HubID string
	// Client reads grants as they are stored, and notes on them what was found; Grants watches them.
	Client versioned.Interface
	Grants informers.AuthTokenGrantInformer
	// Profiles watches ClusterProfiles.
	Profiles inventoryinformers.ClusterProfileInformer
	// Members reaches the member clusters.
	Members member.CachedMembers
	// Recorder records events about repairs and removals.
	Recorder events.EventRecorder
	// Period is how often a member is swept.
	Period time.Duration
	// Workers is how many members are swept at once.
	Workers int
	// MaxRemovals bounds what is removed from a member in one sweep because it belongs to no grant.
	MaxRemovals int
	// Clock is the source of the time.
	Clock clock.WithTicker
}

// Controller sweeps members. It is made by New.
type Controller struct {
	Options
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced []cache.InformerSynced
}

// New returns a Controller that has registered with its informers, which the caller starts.
func New(o Options) (*Controller, error) {
	registerMetrics()
	c := &Controller{
		Options: o,
		queue:   loop.NewQueue[cache.ObjectName]("sweep", o.Clock, min(minBackoff, o.Period), o.Period),
	}
	profiles, err := loop.AddHandler("ClusterProfiles", o.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: loop.Typed(func(profile *inventoryv1alpha1.ClusterProfile) {
			// Not all at once when the program starts.
			c.queue.AddAfter(cache.MetaObjectToName(profile), wait.Jitter(o.Period/10, 1))
		}),
		DeleteFunc: loop.Typed(func(profile *inventoryv1alpha1.ClusterProfile) { c.left(profile.UID, 0) }),
	})
	c.synced = []cache.InformerSynced{profiles, o.Grants.Informer().HasSynced}
	return c, err
}

// Run sweeps until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if ctx, synced := loop.Begin(member.Quiet(ctx), "sweep", c.synced...); synced {
		loop.Run(ctx, c.queue, c.Workers, "cluster", c.reconcile)
	}
}

// reconcile sweeps one member. It returns when to do so again.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, nil //nolint:nilerr // it was deleted
	}
	client, err := c.Members.Cached(ctx, profile)
	if err != nil {
		return wait.Jitter(c.Period, jitter), nil //nolint:nilerr // there is no access, as to a member that nobody has adopted
	}
	if err := c.sweep(ctx, profile, client); err != nil {
		sweeps.WithLabelValues("Failed").Inc()
		return 0, fmt.Errorf("member not swept: %w", err)
	}
	sweeps.WithLabelValues("OK").Inc()
	return wait.Jitter(c.Period, jitter), nil
}

// sweep compares one member with what grants say.
func (c *Controller) sweep(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, client *member.Client) error {
	timeout := fmt.Errorf("cluster %s was not swept within %s", client.Name(), memberTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, timeout)
	defer cancel()
	found, err := c.list(ctx, client)
	if err != nil {
		return err
	}
	if err := c.noteMember(ctx, profile.UID, client, found); err != nil {
		return err
	}
	if !c.differs(profile.UID, found) {
		c.left(profile.UID, 0)
		return nil
	}
	// A list that was cut short, or is a lie, would make all grants of a fleet be compared, and
	// reported as repaired.
	again, err := c.list(ctx, client)
	if err != nil {
		return err
	}
	c.repairAll(ctx, profile.UID, client, found, again)
	return c.removeOrphans(ctx, profile, client, found, again)
}

// list lists what the member has of all grants.
func (c *Controller) list(ctx context.Context, client *member.Client) (*grant.Found, error) {
	found, err := grant.List(ctx, client.Kubernetes(), c.HubID)
	if err != nil {
		return nil, client.Error(err, "list what grants own")
	}
	if err := found.Unread(); err != nil {
		klog.FromContext(ctx).Info("The member does not let clusterpass list all that grants own; apply artifacts/deploy/member there again",
			"reason", err)
	}
	return found, nil
}

// cached returns all grants, as far as the cache knows them.
func (c *Controller) cached() []*v1alpha1.AuthTokenGrant {
	grants, err := c.Grants.Lister().List(labels.Everything())
	utilruntime.Must(err) // A cache lists what it has.
	return grants
}

// differs returns whether what was found is not what the grants say, as far as the cache knows
// them.
func (c *Controller) differs(profile types.UID, found *grant.Found) bool {
	grants := c.cached()
	return len(orphans(found, byUID(grants))) > 0 || slices.ContainsFunc(grants, func(g *v1alpha1.AuthTokenGrant) bool {
		return g.Spec.ClusterProfile.UID == profile && isComplete(g) && len(found.Drift(g)) > 0
	})
}

// No label of these names a cluster, a user or a grant.
var (
	sweeps = metric.CounterVec("member_sweeps_total",
		"Comparisons of a member cluster with what grants say, by result: OK or Failed.", "result")
	repairs = metric.CounterVec("drift_repairs_total",
		"Repairs of what somebody had changed or deleted on a member cluster, by kind of the object.", "kind")
	removals = metric.Counter("orphans_removed_total", "Objects removed from member clusters because they belonged to no grant.")

	orphansLeft = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace: "clusterpass",
		Name:      "orphans_left",
		Help: "Objects on member clusters that belong to no grant and that the last sweep left: " +
			"there were more than one sweep removes, or it failed.",
		StabilityLevel: metrics.ALPHA,
	})

	// leftOf are the parts of orphansLeft, by the UID of the ClusterProfile.
	leftOf = struct {
		sync.Mutex
		counts map[types.UID]int
	}{counts: map[types.UID]int{}}
)

// registerMetrics registers the metrics of this controller with the legacy registry.
var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(sweeps, repairs, removals, orphansLeft)
	metric.Start(sweeps, "OK", "Failed")
	metric.Start(repairs, "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
})

// left notes how many orphans are left on the member of a ClusterProfile.
func (*Controller) left(profile types.UID, count int) {
	leftOf.Lock()
	defer leftOf.Unlock()
	delete(leftOf.counts, profile)
	if count > 0 {
		leftOf.counts[profile] = count
	}
	total := 0
	for _, n := range leftOf.counts {
		total += n
	}
	orphansLeft.Set(float64(total))
}
