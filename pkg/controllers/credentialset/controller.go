// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credentialset is the controller that keeps the credentials of ClusterCredentialSets: one
// Secret on the hub for each selected cluster, with a token that is renewed before it expires.
//
// It decides nothing about rights: every token comes from the subresource token of its set, which
// the server answers as if the set's author had asked. Everything that it needs to know of a
// credential is in the annotations of its Secret, so a restart mints nothing.
//
// Two queues work side by side. The first one has sets: which clusters are selected, what to
// remove, and the status. The second one has single credentials, each in one of these states:
//
//	selected
//	  without a Secret   -> mint
//	  valid              -> mint when it is due, by one write; the old token stays valid
//	                     -> repair with the same token if the Secret was changed; mint if the token is gone
//	                     -> replace if the grant was revoked
//	  failed             -> again, with backoff, after all others
//	  refused            -> again, up to every 30 minutes, and when the set changes
//	not selected         -> kept for a grace if decisions select; then the Secret is deleted, then the grants
//
// The files follow these: events.go enqueues sets and credentials when an object changes,
// selection.go says what is selected, credential.go what is due, and sync.go does it, by a Secret
// that secrets.go makes and writes, with what ownership.go leaves to others in it. The write of a
// Secret is an event too: it enqueues the credential again, to wait for its renewal. remove.go
// deletes Secrets and grants; pkg/controllers/revocation ends the tokens of a deleted grant.
// record.go has what is remembered of a credential. Of a set as a whole are its status (status.go),
// its author (author.go), and what its consumer needs (consumer.go).
package credentialset

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	utilcache "k8s.io/apimachinery/pkg/util/cache"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions/apis/v1alpha1"
	inventorylisters "sigs.k8s.io/cluster-inventory-api/client/listers/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/credentialset/multikueue"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/controllers/internal/ondemand"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	informers "clusterpass.dev/pkg/generated/informers/externalversions/clusterpass/v1alpha1"
	listers "clusterpass.dev/pkg/generated/listers/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
)

const (
	// setWorkers is how many sets are compared with their clusters at once. That makes calls only to
	// remove, to write the status, and to review authors.
	setWorkers = 2
	// statusDelay gathers changes in one set before its status is written.
	statusDelay = 500 * time.Millisecond
	// minBackoff and maxBackoff bound after how long to try again after a failure.
	minBackoff = time.Second
	maxBackoff = time.Minute
	// maxRefusedBackoff is maxBackoff after a refusal, which only a change of rights ends. A change of
	// the set is tried at once.
	maxRefusedBackoff = 30 * time.Minute
)

// Members knows the member clusters.
type Members interface {
	// CachedLeaving returns nil, but for a profile whose member is leaving the hub.
	CachedLeaving(profile *inventoryv1alpha1.ClusterProfile) *member.Leaving
	// StoredLeaving is CachedLeaving without the cache.
	StoredLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) *member.Leaving
	// AccessProviders returns what leads to the member of a profile.
	AccessProviders(profile *inventoryv1alpha1.ClusterProfile) []inventoryv1alpha1.AccessProvider
}

// Options are what a Controller works with. Every field but MaxCredentials, MaxAuthorAge and User
// is required.
type Options struct {
	// Client gets the tokens, deletes grants, and writes the status of sets.
	Client versioned.Interface
	// Hub reads and writes the Secrets.
	Hub kubernetes.Interface
	// Objects reads and writes the objects that configure consumers.
	Objects dynamic.Interface
	// Inventory reads ClusterProfiles without a cache.
	Inventory inventory.Interface
	// Sets and Grants are informers.
	Sets   informers.ClusterCredentialSetInformer
	Grants informers.AuthTokenGrantInformer
	// Profiles is an informer of ClusterProfiles, and Decisions one of PlacementDecisions, which runs
	// once a set needs it.
	Profiles  inventoryinformers.ClusterProfileInformer
	Decisions inventoryinformers.PlacementDecisionInformer
	// Placements is an informer of Placements. User, the username of the controller on the hub, writes
	// their decisions; it may be empty.
	Placements informers.PlacementInformer
	User       string
	// Members knows the member clusters, and OnChange registers a handler for changes of what it says
	// of them.
	Members  Members
	OnChange func(changed func(profile cache.ObjectName)) error
	// Recorder records events about sets.
	Recorder events.EventRecorder
	// Workers is how many credentials are reconciled at once.
	Workers int
	// MaxCredentials bounds how many credentials the sets of one namespace select together; 0: there
	// is no limit.
	MaxCredentials int
	// MaxAuthorAge is how long after an author was noted the server mints in its name; 0: no limit.
	MaxAuthorAge time.Duration
	// Clock is the source of the time.
	Clock clock.WithTicker
}

// Controller keeps credentials. It is made by New.
type Controller struct {
	Options
	sets       listers.ClusterCredentialSetLister
	grants     listers.AuthTokenGrantLister
	placements listers.PlacementLister
	profiles   inventorylisters.ClusterProfileLister
	synced     []cache.InformerSynced

	// decisions, secrets and kueue are made by Run, and end with it.
	decisions *ondemand.Informers[inventorylisters.PlacementDecisionLister]
	secrets   *ondemand.Informers[corelisters.SecretNamespaceLister]
	kueue     *multikueue.Keeper

	// setQueue has sets, credentialQueue single credentials.
	setQueue        workqueue.TypedRateLimitingInterface[cache.ObjectName]
	credentialQueue workqueue.TypedRateLimitingInterface[credentialKey]
	// reviews are the reviews of authors, by the UID and the generation of the set. They expire.
	reviews *utilcache.LRUExpireCache
	// refusals counts the refusals of each credential in a row, until it is issued or gone.
	refusals workqueue.TypedRateLimiter[credentialKey]

	limits limiter

	// leavingMu guards leaving: the members that were leaving the hub when sets were last enqueued.
	leavingMu sync.Mutex
	leaving   sets.Set[cache.ObjectName]

	// mu guards records, which has those of the credentials of each set, by its UID and by cluster.
	mu      sync.Mutex
	records map[types.UID]map[string]*record
}

// credentialKey names the credential of a set for a cluster.
type credentialKey struct {
	set     cache.ObjectName
	cluster string
}

// String returns the key as logs have it.
func (k credentialKey) String() string { return k.set.String() + "/" + k.cluster }

// New returns a Controller that has registered with its informers, which the caller starts.
func New(o Options) (*Controller, error) {
	c := &Controller{
		Options:    o,
		sets:       o.Sets.Lister(),
		grants:     o.Grants.Lister(),
		placements: o.Placements.Lister(),
		profiles:   o.Profiles.Lister(),
		limits:     limiter{max: o.MaxCredentials, counts: map[string]map[types.UID]int{}},
		leaving:    sets.New[cache.ObjectName](),
		records:    map[types.UID]map[string]*record{},
		reviews:    utilcache.NewLRUExpireCacheWithClock(maxReviews, o.Clock),
		setQueue: loop.NewOrderedQueue("credentialset", o.Clock,
			workqueue.NewTypedItemExponentialFailureRateLimiter[cache.ObjectName](minBackoff, maxBackoff),
			loop.NewTurns(func(set cache.ObjectName) string { return set.Namespace })),
	}
	c.addCredentialQueue()
	if err := c.watch(); err != nil {
		return nil, err
	}
	c.registerMetrics()
	return c, nil
}

// addCredentialQueue makes the queue of credentials. Those that have failed or were refused come
// after all others: sets that cannot get a token must not delay renewals. Namespaces take turns,
// and so do the sets of each namespace.
func (c *Controller) addCredentialQueue() {
	c.refusals = workqueue.NewTypedItemExponentialFailureRateLimiter[credentialKey](minBackoff, maxRefusedBackoff)
	failures := workqueue.NewTypedItemExponentialFailureRateLimiter[credentialKey](minBackoff, maxBackoff)
	failing := func(key credentialKey) bool {
		return failures.NumRequeues(key) > 0 || c.refusals.NumRequeues(key) > 0
	}
	c.credentialQueue = loop.NewOrderedQueue("credential", c.Clock, failures, &lanes{failing: failing, first: newTurns(), later: newTurns()})
}

// Run keeps credentials until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	defer utilruntime.HandleCrashWithContext(ctx)
	// Requests and answers hold tokens: they are not logged.
	ctx, ok := loop.Begin(member.Quiet(ctx), "credentialset", c.synced...)
	if !ok {
		return
	}
	c.secrets = c.newSecrets(ctx)
	c.decisions = newDecisions(ctx, c.Hub.Discovery(), c.Decisions, loop.Always(loop.Typed(c.decisionsChanged)))
	c.kueue = multikueue.New(ctx, c.Hub, c.Objects, c.consumerChanged)
	var running sync.WaitGroup
	running.Go(func() { loop.Run(ctx, c.setQueue, setWorkers, "set", c.syncSet) })
	running.Go(func() { loop.Run(ctx, c.credentialQueue, c.Workers, "credential", c.syncCredential) })
	running.Wait()
}

// syncSet compares a set with its clusters. It configures the consumer, deletes what the set has
// for clusters that are not selected, and enqueues the credentials of selected clusters that have
// no state of this generation. If there are none of these, it writes the status. All other
// credentials are enqueued by events. Of a set that keeps no credentials, it deletes and enqueues
// none.
func (c *Controller) syncSet(ctx context.Context, name cache.ObjectName) (time.Duration, error) {
	set, err := c.sets.ClusterCredentialSets(name.Namespace).Get(name.Name)
	if err != nil {
		return 0, ignoreGone(err)
	}
	if set.DeletionTimestamp != nil {
		return 0, c.finish(ctx, set)
	}
	keeps := credentialset.KeepsCredentials(set)
	if keeps {
		if _, err := c.secrets.Start(ctx, secretNamespace(set)); err != nil {
			return 0, c.updateBlocked(ctx, set, err)
		}
	}
	selected, err := c.selectClusters(ctx, set)
	if err != nil {
		return 0, err
	}
	consumer, consumerErr := c.syncConsumer(ctx, set, selected)
	again := time.Duration(0)
	if keeps {
		if again, err = c.prune(ctx, set, selected.clusters); err != nil {
			return 0, errors.Join(consumerErr, fmt.Errorf("removing credentials for clusters that are not selected: %w", err))
		}
	}
	if selected.refused != "" && (again == 0 || again > refusedPeriod) {
		// The rights of an author are no object that could be watched.
		again = refusedPeriod
	}
	if keeps && c.enqueueUnknown(set, selected.clusters) {
		// Each updates the status when it is reconciled.
		return again, consumerErr
	}
	return again, errors.Join(consumerErr, c.updateStatus(ctx, set, selected, consumer))
}

// enqueueUnknown enqueues the credentials without a state of this generation of the set, and
// returns whether there are any.
func (c *Controller) enqueueUnknown(set *v1alpha1.ClusterCredentialSet, clusters profilesByName) bool {
	waiting := false
	for cluster := range clusters {
		if !c.knows(set, cluster) {
			waiting = true
			c.credentialQueue.Add(credentialKey{cache.MetaObjectToName(set), cluster})
		}
	}
	return waiting
}

// failingShare: while others wait, one in failingShare credentials is one that has failed.
const failingShare = 8

// lanes is the order of a queue of credentials. The queue locks it.
type lanes struct {
	// failing returns whether the last attempt for a credential failed.
	failing func(credentialKey) bool
	// first has credentials that have not failed. later has the others.
	first, later *loop.Turns[credentialKey]
	popped       int
}

var _ workqueue.Queue[credentialKey] = (*lanes)(nil)

// Touch implements workqueue.Queue.
func (*lanes) Touch(credentialKey) {}

// Push implements workqueue.Queue.
func (l *lanes) Push(key credentialKey) {
	if l.failing(key) {
		l.later.Push(key)
	} else {
		l.first.Push(key)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return l.first.Len() + l.later.Len() }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() credentialKey {
	l.popped++
	if l.first.Len() == 0 || l.later.Len() > 0 && l.popped%failingShare == 0 {
		return l.later.Pop()
	}
	return l.first.Pop()
}

// newTurns returns a queue in which namespaces take turns, and the sets within each namespace.
func newTurns() *loop.Turns[credentialKey] {
	return loop.NewTurns(
		func(key credentialKey) string { return key.set.Namespace },
		func(key credentialKey) string { return key.set.Name },
	)
}
