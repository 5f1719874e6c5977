// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package score is the controller that collects the free resources of the member clusters, and
// stores them in one ClusterScore for each. It reads members one after another in pages, and keeps
// no objects: informers would keep every pod of the fleet in memory, and two watches to every
// member.
package score

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/metric"
	"clusterpass.dev/pkg/controllers/score/usage"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	informers "clusterpass.dev/pkg/generated/informers/externalversions/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/member/paged"
)

const (
	// minBackoff is the minimum delay before a retry after a failure. The maximum is the period.
	minBackoff = 5 * time.Second
	// memberTimeout bounds all calls of one collection to a member.
	memberTimeout = 2 * time.Minute
	// costFactor: after a member was read, it is not read again for costFactor times as long as
	// that took. A member with 50,000 pods is read less often than the period, and its API server
	// is busy with it for at most a twentieth of the time.
	costFactor = 20
	// validPeriods is how many periods a score is valid. freshPeriods is how many must be left after a
	// collection: two collections may fail.
	validPeriods = 5
	freshPeriods = 3
)

// Options configure a Controller. Every field except for Managers is required.
type Options struct {
	// Managers are the spec.clusterManager.name of the profiles whose clusters are read. If there are
	// none, the clusters of all profiles are read.
	Managers []string
	// Client writes ClusterScores; Scores watches them.
	Client versioned.Interface
	Scores informers.ClusterScoreInformer
	// Profiles watches ClusterProfiles.
	Profiles inventoryinformers.ClusterProfileInformer
	// Members has the clients for the member clusters.
	Members member.CachedMembers
	// DeviceLabels are the labels of nodes with the types of their devices.
	DeviceLabels []usage.DeviceLabel
	// Period is how often a member is read, unless it is too large for that.
	Period time.Duration
	// Workers is how many members are read in parallel.
	Workers int
	// Clock is the clock.
	Clock clock.WithTicker
}

// Controller collects scores. Use New.
type Controller struct {
	Options
	queue  workqueue.TypedRateLimitingInterface[cache.ObjectName]
	synced []cache.InformerSynced
}

// New returns a Controller with handlers at its informers, which the caller starts.
func New(o Options) (*Controller, error) {
	registerMetrics()
	c := &Controller{
		Options: o,
		queue:   loop.NewQueue[cache.ObjectName]("score", o.Clock, min(minBackoff, o.Period), o.Period),
	}
	profiles, err := loop.AddHandler("ClusterProfiles", o.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
		AddFunc: loop.Typed(func(profile *inventoryv1alpha1.ClusterProfile) {
			if c.reads(profile) {
				c.queue.AddAfter(cache.MetaObjectToName(profile), time.Duration(loop.Phase(profile.UID)*float64(o.Period)))
			}
		}),
	})
	c.synced = []cache.InformerSynced{profiles, o.Scores.Informer().HasSynced}
	return c, err
}

func (c *Controller) reads(profile *inventoryv1alpha1.ClusterProfile) bool {
	return len(c.Managers) == 0 || slices.Contains(c.Managers, profile.Spec.ClusterManager.Name)
}

// Run collects scores until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	if ctx, synced := loop.Begin(member.Quiet(ctx), "score", c.synced...); synced {
		loop.Run(ctx, c.queue, c.Workers, "cluster", c.reconcile)
	}
}

// reconcile collects the scores of one member. It returns after how long to do so again.
func (c *Controller) reconcile(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if err != nil || !c.reads(profile) {
		return 0, nil //nolint:nilerr // it was deleted, or replaced by one of another manager
	}
	client, err := c.Members.Cached(ctx, profile)
	if err != nil {
		// Another manager's cluster that nobody has adopted is no failure, and may be adopted later. Its
		// score expires.
		klog.FromContext(ctx).V(4).Info("No scores without access", "reason", err)
		return c.Period, nil
	}
	again, err := c.sync(ctx, profile, client)
	if err != nil {
		collections.WithLabelValues("Failed").Inc()
		return 0, fmt.Errorf("scores not collected: %w", err)
	}
	collections.WithLabelValues("OK").Inc()
	return again, nil
}

// sync reads one member and stores its free resources. It returns after how long to do so again. If
// the member cannot be read, nothing is stored, and its score expires.
func (c *Controller) sync(
	ctx context.Context, profile *inventoryv1alpha1.ClusterProfile, client *member.Client,
) (time.Duration, error) {
	start := c.Clock.Now()
	found, err := c.collect(ctx, client, c.queue.NumRequeues(cache.MetaObjectToName(profile)) > 0)
	if err != nil {
		return 0, err
	}
	took := c.Clock.Since(start)
	duration.Observe(took.Seconds())
	again := max(c.Period, costFactor*took)
	return again, c.store(ctx, profile, found, validPeriods*again)
}

// unfinished is a field selector without finished pods, which hold no resources any more.
const unfinished = "status.phase!=" + string(corev1.PodSucceeded) + ",status.phase!=" + string(corev1.PodFailed)

// found is the result of a collection.
type found struct {
	values    []v1alpha1.ClusterValue
	condition metav1.Condition
}

// collect reads nodes and pods of a member. If the member forbids it, and the last attempt failed
// as well, it returns a result without values, and no error.
func (c *Controller) collect(ctx context.Context, client *member.Client, failedBefore bool) (*found, error) {
	timeout := fmt.Errorf("nodes and pods of cluster %s were not read within %s", client.Name(), memberTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout, timeout)
	defer cancel()
	cluster := usage.New(c.DeviceLabels)
	err := read(ctx, client.Kubernetes().CoreV1().RESTClient(), cluster)
	// An API server that is starting may refuse requests for a moment.
	if apierrors.IsForbidden(err) && failedBefore {
		return forbidden(), nil
	}
	if err != nil {
		return nil, client.Error(err, "list nodes and pods")
	}
	return collected(cluster.Values(v1alpha1.MaxScores)), nil
}

// read adds all nodes, and then all pods, to cluster.
func read(ctx context.Context, client rest.Interface, cluster *usage.Cluster) error {
	err := paged.Each(ctx, client, "nodes", metav1.ListOptions{}, func(item []byte) error {
		var node corev1.Node
		if err := node.Unmarshal(item); err != nil {
			return err
		}
		return cluster.AddNode(&node)
	})
	if err != nil {
		return err
	}
	return paged.Each(ctx, client, "pods", metav1.ListOptions{FieldSelector: unfinished}, func(item []byte) error {
		var pod corev1.Pod
		if err := pod.Unmarshal(item); err != nil {
			return err
		}
		cluster.AddPod(&pod)
		return nil
	})
}

func collected(values []v1alpha1.ClusterValue, more bool) *found {
	condition := metav1.Condition{
		Type: v1alpha1.ScoreCollected, Status: metav1.ConditionTrue, Reason: v1alpha1.ScoreReasonCollected,
		Message: "nodes and pods of the member cluster were counted",
	}
	if more {
		condition.Reason = v1alpha1.ScoreReasonTooMany
		condition.Message = fmt.Sprintf(
			"only %d amounts are kept, first those of resources that nodes have; there are more, or some have no valid name", v1alpha1.MaxScores)
	}
	return &found{values: values, condition: condition}
}

func forbidden() *found {
	return &found{condition: metav1.Condition{
		Type: v1alpha1.ScoreCollected, Status: metav1.ConditionFalse, Reason: v1alpha1.ScoreReasonForbidden,
		Message: "the member cluster does not let clusterpass list nodes and pods: apply artifacts/deploy/member/base/usage.yaml there",
	}}
}

var (
	collections = metric.CounterVec("score_collections_total",
		"Readings of a member cluster's nodes and pods, by result: OK or Failed.", "result")
	duration = metric.Histogram("score_collection_duration_seconds", "How long it took to read a member cluster's nodes and pods.", 0.01)
	writes   = metric.Counter("score_writes_total", "Writes of ClusterScores, of changed figures or of how long they are valid.")
)

// registerMetrics registers the metrics of this controller with the legacy registry.
var registerMetrics = sync.OnceFunc(func() {
	legacyregistry.MustRegister(collections, duration, writes)
	metric.Start(collections, "OK", "Failed")
})
