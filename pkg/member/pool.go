// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

const (
	// idleTimeout is how long the pool keeps a client that nobody asks for.
	idleTimeout = 10 * time.Minute
	// evictionPeriod is how often the pool closes idle clients.
	evictionPeriod = time.Minute
	// retirement is how long a connection may outlive its client. An HTTP/2 connection whose last
	// call has only just ended does not count as idle yet, and survives the first attempt to close
	// it.
	retirement = time.Minute
)

// readStoredSecret reads a Secret as the hub stores it. The caller must not change it. Pool.by
// makes a lookupSecret of it.
type readStoredSecret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)

// Options configure a Pool.
type Options struct {
	// Config has the providers and the limits of members. It comes from LoadFile or DefaultConfig.
	Config *configv1alpha1.AccessConfiguration
	// Secrets is the cache of Secrets with kubeconfigs.
	Secrets Secrets
	// Stored returns a Secret as the hub stores it. The pool calls it before it refuses access
	// because of what Secrets has. It is nil if Secrets is never stale.
	Stored readStoredSecret
	// Live is Stored with a read of its own, without waiting. LiveLeaving uses it. It is nil if
	// Secrets is never stale.
	Live readStoredSecret
	// StoredOf returns the Secrets that name a ClusterProfile as the hub stores them. It costs a list
	// of Secrets. If it is nil, those in Secrets count: then a ClusterProfile that none names costs no
	// call, however often it is asked for.
	StoredOf func(ctx context.Context, namespace, name string) ([]metav1.Object, error)
	// Karmada is the cache of Karmada's Clusters. It is nil if Config has no karmadaSecret.
	Karmada KarmadaClusters
	// Clock is the clock; nil means the real one.
	Clock clock.WithTicker
	// UserAgent is the User-Agent of all clients. If empty, it is client-go's default, which has
	// the name of the program.
	UserAgent string
}

// Members provides clients for member clusters, as Pool does.
type Members interface {
	// For returns the client for the cluster of profile, or a metav1.Status error that says
	// why there is none.
	For(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error)
}

// CachedMembers provides clients for member clusters, as Pool does, to those who ask regularly
// about all of them.
type CachedMembers interface {
	// Cached returns the client for the cluster of profile, according to the cached Secrets. It calls
	// nobody. An error means that there is no access.
	Cached(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error)
}

// Pool keeps one client for each ClusterProfile in use. A profile that replaces another of the same
// name has its own client: while the grants of the old profile are revoked, both are in use. Pool
// is safe for concurrent use.
type Pool struct {
	options   Options
	providers []namedProvider
	// held counts the bytes of answers of all members that are not decoded yet.
	held *semaphore.Weighted

	mu      sync.Mutex
	clients map[profileKey]*pooled
	// retired are recently closed clients, and when they were; callers may still hold them.
	retired map[*Client]time.Time
}

// pooled is a client and the access data that it was built from.
type pooled struct {
	// client is nil if the stored access data gives no access.
	client   *Client
	identity identity
	// outdated is the identity of the cached data that differed from the stored data. A stale cache
	// still has it.
	outdated identity
	lastUsed time.Time
}

// profileKey identifies a ClusterProfile, and never one that replaces it.
type profileKey struct {
	types.NamespacedName
	uid types.UID
}

// identity distinguishes clients for the same ClusterProfile.
type identity struct {
	provider string
	key      accessKey
}

// NewPool returns a Pool without clients, or an error that says why the configuration is invalid.
func NewPool(options Options) (*Pool, error) {
	if err := Validate(options.Config).ToAggregate(); err != nil {
		return nil, err
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	options.UserAgent = cmp.Or(options.UserAgent, rest.DefaultKubernetesUserAgent())
	return &Pool{
		options:   options,
		providers: newProviders(options.Config, options.Karmada),
		held:      semaphore.NewWeighted(maxHeld),
		clients:   map[profileKey]*pooled{},
		retired:   map[*Client]time.Time{},
	}, nil
}

// For returns the client for the cluster of profile: that of Cached, or else of StoredWithLeaving.
func (p *Pool) For(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error) {
	if client, err := p.Cached(ctx, profile); err == nil {
		return client, nil
	}
	client, _, err := p.StoredWithLeaving(ctx, profile)
	return client, err
}

// Cached returns the client for the cluster of profile, according to the cached Secret. It calls
// nobody. The client is the same as long as the access data is; a client for other data is closed.
// An error is not final: the stored Secret may be newer.
func (p *Pool) Cached(_ context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error) {
	from, err := p.origin(profile, p.cached())
	if err != nil {
		return nil, err
	}
	return p.get(from, false)
}

// StoredWithLeaving is Cached and CachedLeaving with the Secret as the hub stores it, in one read.
// If the profile gives no usable access, the error is a metav1.Status error, 503 with
// CauseNoAccess, that says why. The existing client is then closed.
func (p *Pool) StoredWithLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, *Leaving, error) {
	from, err := p.origin(profile, p.by(ctx, p.options.Stored))
	var client *Client
	if err == nil {
		client, err = p.get(from, p.options.Stored != nil)
	}
	if err != nil {
		return nil, nil, p.noAccess(ctx, from, err)
	}
	return client, from.leaving, nil
}

// CachedLeaving returns the mark of a member that is being removed from the hub, in its Secret as
// of the last event. It calls nobody. It returns nil if there is no mark, if the member is not
// reached by a kubeconfig in a Secret, and if there is no access to it.
func (p *Pool) CachedLeaving(profile *inventoryv1alpha1.ClusterProfile) *Leaving {
	return p.leaving(profile, p.cached())
}

// StoredLeaving is CachedLeaving by the Secret as it is stored.
func (p *Pool) StoredLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) *Leaving {
	return p.leaving(profile, p.by(ctx, p.options.Stored))
}

func (p *Pool) leaving(profile *inventoryv1alpha1.ClusterProfile, by lookup) *Leaving {
	from, err := p.origin(profile, by)
	if err != nil {
		return nil
	}
	return from.leaving
}

// LiveLeaving is CachedLeaving by the Secret as it is stored now, at once. Where there is no access
// to the member any more, or it is not known, its error is that of StoredWithLeaving.
func (p *Pool) LiveLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Leaving, error) {
	from, err := p.origin(profile, p.by(ctx, p.options.Live))
	if err != nil {
		return nil, p.noAccess(ctx, from, err)
	}
	return from.leaving, nil
}

// origin is where the access to the cluster of a profile comes from.
type origin struct {
	profile profileKey
	// provider is the name of the provider that finds the access or refuses it, or "" if none does.
	provider string
	// entry is the provider's entry of the profile.
	entry *inventoryv1alpha1.AccessProvider
	// source is nil if there is no access.
	*source
}

// origin returns where the access to the cluster of profile comes from, with the Secrets that by
// finds. It also says by whom access is refused.
func (p *Pool) origin(profile *inventoryv1alpha1.ClusterProfile, by lookup) (origin, error) {
	from := origin{profile: profileKey{types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name}, profile.UID}}
	provider, entry, err := find(p.providers, by.naming, profile)
	if err != nil {
		return from, err
	}
	from.provider, from.entry = provider.name, entry
	from.source, err = provider.find(profile, entry, by.get)
	return from, err
}

// errOutdated says that the cache is known to be stale, and that the stored data gives no access.
var errOutdated = errors.New("the kubeconfig has been removed")

// get returns the client for a source of access, and opens the source if there is no client yet.
// stored says that the source comes from stored data, which replaces the client of cached data.
func (p *Pool) get(from origin, stored bool) (*Client, error) {
	wanted := identity{provider: from.provider, key: from.key}
	if found, ok := p.lookup(from.profile, wanted, stored); ok {
		if found == nil {
			return nil, errOutdated
		}
		return found, nil
	}
	access, err := from.open()
	if err != nil {
		return nil, err
	}
	client, err := newClient(from.profile.NamespacedName, complete(from.entry, access), access, p.options, p.held)
	if err != nil {
		return nil, err
	}
	credentials.WithLabelValues(from.provider, resultObtained).Inc()
	return p.insert(from.profile, wanted, client, stored), nil
}

// lookup returns the wanted client, and whether it is known. If a stale cache asks, it returns the
// client of the stored data, or nil if that gives no access. Otherwise, cached and stored data
// would replace each other's client with each request, and with it its limits and connections.
func (p *Pool) lookup(name profileKey, wanted identity, stored bool) (*Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.clients[name]
	if !ok || found.identity != wanted && (stored || found.outdated != wanted) {
		return nil, false
	}
	if found.client != nil {
		// Without access, what is outdated is forgotten after idleTimeout, although the cache is asked
		// for it: no cache is stale for that long.
		found.lastUsed = p.options.Clock.Now()
	}
	return found.client, true
}

// insert keeps a new client, in place of one that is no longer wanted. It returns the client to
// use, which may be another caller's.
func (p *Pool) insert(name profileKey, wanted identity, client *Client, stored bool) *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &pooled{client: client, identity: wanted, lastUsed: p.options.Clock.Now()}
	if found, ok := p.clients[name]; ok {
		if found.identity == wanted {
			return found.client
		}
		if stored {
			next.outdated = cmp.Or(found.identity, found.outdated)
		}
		p.retire(found.client)
	}
	p.clients[name] = next
	return client
}

// unreadError says that a Secret could not be read: whether it gives access is unknown.
type unreadError struct {
	error
}

// noAccess closes the existing client and returns the error for the requester, or why ctx ended.
func (p *Pool) noAccess(ctx context.Context, from origin, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	credentials.WithLabelValues(from.provider, resultRefused).Inc()
	if !isA[*unreadError](err) {
		p.outdate(from.profile)
	}
	klog.FromContext(ctx).V(2).Info("No access to a member cluster", "cluster", from.profile.NamespacedName, "reason", err)
	return newStatusError(from.profile.NamespacedName, http.StatusServiceUnavailable, CauseNoAccess, err.Error(), 0)
}

// outdate closes the client for a profile whose stored data gives no access. It also prevents that
// a stale cache opens the client again.
func (p *Pool) outdate(name profileKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.clients[name]
	if !ok {
		return
	}
	p.retire(found.client)
	delete(p.clients, name)
	if p.options.Stored != nil {
		p.clients[name] = &pooled{outdated: cmp.Or(found.identity, found.outdated), lastUsed: p.options.Clock.Now()}
	}
}

// Forget closes the client for the ClusterProfile with that UID, if there is one.
func (p *Pool) Forget(uid types.UID) {
	p.remove(func(key profileKey, _ *pooled) bool { return key.uid == uid })
}

// Run closes clients that nobody has asked for in a while. When ctx ends, it closes all clients and
// returns. The pool still returns clients after that, but nothing closes them.
func (p *Pool) Run(ctx context.Context) {
	ticker := p.options.Clock.NewTicker(evictionPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.remove(func(profileKey, *pooled) bool { return true })
			p.disconnect(p.options.Clock.Now().Add(retirement))
			return
		case now := <-ticker.C():
			p.evict(now)
			p.disconnect(now.Add(-retirement))
		}
	}
}

// evict closes the clients that nobody has asked for within idleTimeout.
func (p *Pool) evict(now time.Time) {
	p.remove(func(_ profileKey, c *pooled) bool { return now.Sub(c.lastUsed) >= idleTimeout })
}

// remove closes the clients that match.
func (p *Pool) remove(match func(profileKey, *pooled) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, c := range p.clients {
		if match(name, c) {
			p.retire(c.client)
			delete(p.clients, name)
		}
	}
}

// retire closes client unless it is nil. The caller holds p.mu.
func (p *Pool) retire(client *Client) {
	if client == nil {
		return
	}
	client.gate.close()
	p.retired[client] = p.options.Clock.Now()
}

// disconnect closes the remaining connections of clients that retired before then.
func (p *Pool) disconnect(then time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.retired, func(client *Client, since time.Time) bool {
		return since.Before(then) && client.gate.disconnect()
	})
}
