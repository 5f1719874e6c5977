// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

const (
	// idleTimeout is how long a client is kept that nobody asks for.
	idleTimeout = 10 * time.Minute
	// evictionPeriod is how often idle clients are looked for.
	evictionPeriod = time.Minute
	// retirement is how long a connection may outlive its client: HTTP/2 connections
	// whose last call has only just ended are not idle yet when that is asked.
	retirement = time.Minute
)

// readSecret returns a Secret as it is stored, which the caller does not change.
type readSecret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)

// Options are what a Pool is made of.
type Options struct {
	// Config says which providers there are, and their limits: from LoadFile or DefaultConfig.
	Config *configv1alpha1.AccessConfiguration
	// Secrets are where kubeconfigs are looked up.
	Secrets Secrets
	// Stored returns one of Secrets as it is stored. It is asked before access is refused because of
	// what Secrets has. It is nil if that is never behind.
	Stored readSecret
	// Live is Stored at once, by a read of its own. LiveLeaving takes it; it is nil if Secrets are never behind.
	Live readSecret
	// Clock tells the time; nil is the real one.
	Clock clock.WithTicker
	// UserAgent is how clients introduce themselves; empty is that of client-go,
	// which has the name of the program in it.
	UserAgent string
}

// Pool keeps one client for each ClusterProfile in use. A profile that has replaced another under its
// name is another one: while grants of the old one are revoked, both are in use. It is safe for concurrent use.
type Pool struct {
	providers []namedProvider
	secrets   Secrets
	stored    readSecret
	live      readSecret
	options   clientOptions

	mu      sync.Mutex
	clients map[profileKey]*pooled
	// retired are clients that were closed lately and may still be held.
	retired []retired
}

// retired is a client that nobody gets any more.
type retired struct {
	client *Client
	since  time.Time
}

// pooled is a client and what it was made for.
type pooled struct {
	// client is nil if what is stored gives no access.
	client   *Client
	identity identity
	// outdated is what the cache said when what is stored was found to be otherwise: a cache that is behind says it still.
	outdated identity
	lastUsed time.Time
}

// profileKey names a ClusterProfile for ever.
type profileKey struct {
	types.NamespacedName
	uid types.UID
}

func keyOf(profile *inventoryv1alpha1.ClusterProfile) profileKey {
	return profileKey{types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name}, profile.UID}
}

// identity tells clients for the same ClusterProfile apart.
type identity struct {
	provider string
	key      accessKey
}

// NewPool returns a Pool without clients. Its error says what is wrong with the configuration.
func NewPool(options Options) (*Pool, error) {
	if err := Validate(options.Config).ToAggregate(); err != nil {
		return nil, err
	}
	providers, err := newProviders(options.Config)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		providers: providers,
		secrets:   options.Secrets,
		stored:    options.Stored,
		live:      options.Live,
		clients:   map[profileKey]*pooled{},
		options: clientOptions{
			limits:    options.Config.Limits,
			clock:     options.Clock,
			userAgent: options.UserAgent,
			held:      semaphore.NewWeighted(maxHeld),
		},
	}
	if p.options.clock == nil {
		p.options.clock = clock.RealClock{}
	}
	if p.options.userAgent == "" {
		p.options.userAgent = rest.DefaultKubernetesUserAgent()
	}
	return p, nil
}

// For returns the client for the cluster of profile: by Cached, or else by Stored.
func (p *Pool) For(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error) {
	if client, err := p.Cached(ctx, profile); err == nil {
		return client, nil
	}
	return p.Stored(ctx, profile)
}

// Cached returns the client for the cluster of profile, by its Secret as of the last event. It calls nobody. The
// client is the same for as long as the access data is; one for other data is closed. An error is no
// refusal yet: what it says may have been mended since.
func (p *Pool) Cached(_ context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error) {
	provider, entry, source, err := p.source(profile, p.cachedSecret)
	if err != nil {
		return nil, err
	}
	return p.get(keyOf(profile), identity{provider: provider, key: source.key}, entry, source, false)
}

// Stored is Cached by the Secret as it is stored. Where the profile gives no access that
// may be used, the error is a metav1.Status error, 503 with CauseNoAccess, that says
// why, and the client that was there is closed.
func (p *Pool) Stored(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, error) {
	client, _, err := p.StoredWithLeaving(ctx, profile)
	return client, err
}

// StoredWithLeaving is Stored, and StoredLeaving by the same read.
func (p *Pool) StoredWithLeaving(ctx context.Context, profile *inventoryv1alpha1.ClusterProfile) (*Client, *Leaving, error) {
	provider, entry, source, err := p.source(profile, p.by(ctx, p.stored))
	var client *Client
	if err == nil {
		client, err = p.get(keyOf(profile), identity{provider: provider, key: source.key}, entry, source, p.stored != nil)
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, nil, context.Cause(ctx)
	case err != nil:
		return nil, nil, p.noAccess(ctx, keyOf(profile), provider, err)
	}
	return client, source.leaving, nil
}

// cachedSecret returns a Secret as of the last event. A Pool whose providers need none has no Secrets.
func (p *Pool) cachedSecret(namespace, name string) (*corev1.Secret, error) {
	return p.secrets.Get(namespace, name)
}

// by returns Secrets by read, or as of the last event where that is nil.
func (p *Pool) by(ctx context.Context, read readSecret) getSecret {
	if read == nil {
		return p.cachedSecret
	}
	return func(namespace, name string) (*corev1.Secret, error) { return read(ctx, namespace, name) }
}

// errOutdated says that what the cache has is known to be behind what is stored, which gives no access.
var errOutdated = errors.New("the kubeconfig has been taken away")

// get returns the client for a source of access, which is opened where there is none yet. What is stored outdates what the
// cache had.
func (p *Pool) get(name profileKey, wanted identity, entry *inventoryv1alpha1.AccessProvider, from *source, stored bool) (*Client, error) {
	if found, ok := p.lookup(name, wanted, stored); ok {
		if found == nil {
			return nil, errOutdated
		}
		return found, nil
	}
	access, err := from.open()
	if err != nil {
		return nil, err
	}
	client, err := newClient(name.NamespacedName, entry, access, p.options)
	if err != nil {
		return nil, err
	}
	credentials.WithLabelValues(wanted.provider, resultObtained).Inc()
	return p.insert(name, wanted, client, stored), nil
}

// source returns where access to the cluster of profile comes from, by Secrets that get returns: the name of the provider that
// finds it, or that refuses, and the entry that is for it.
func (p *Pool) source(profile *inventoryv1alpha1.ClusterProfile, get getSecret) (
	by string, entry *inventoryv1alpha1.AccessProvider, from *source, err error,
) {
	provider, entry, err := choose(p.providers, profile)
	if err != nil {
		return "", nil, nil, err
	}
	from, err = provider.find(profile, entry, get)
	return provider.name, entry, from, err
}

// lookup returns the client that is wanted, and whether it is known. By a cache that is behind, it is that which what is
// stored asked for, and nil if that gives no access: otherwise either would replace the other's client with each
// request, with its limits and connections.
func (p *Pool) lookup(name profileKey, wanted identity, stored bool) (*Client, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.clients[name]
	if !ok || found.identity != wanted && (stored || found.outdated != wanted) {
		return nil, false
	}
	found.lastUsed = p.options.clock.Now()
	return found.client, true
}

// insert keeps a new client, in place of one that is not, or no longer, wanted. It
// returns the one to use: another may have been quicker.
func (p *Pool) insert(name profileKey, wanted identity, client *Client, stored bool) *Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := &pooled{client: client, identity: wanted, lastUsed: p.options.clock.Now()}
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

// unreadError says that it is not known whether a Secret gives access.
type unreadError struct {
	error
}

// noAccess closes what was there and returns the error for the requester. provider is that which refused, if any did.
func (p *Pool) noAccess(ctx context.Context, name profileKey, provider string, err error) error {
	credentials.WithLabelValues(provider, resultRefused).Inc()
	if _, unread := errors.AsType[*unreadError](err); !unread {
		p.outdate(name)
	}
	klog.FromContext(ctx).V(2).Info("No access to a member cluster", "cluster", name.NamespacedName, "reason", err)
	return newStatusError(name.NamespacedName, http.StatusServiceUnavailable, CauseNoAccess, err.Error(), 0)
}

// outdate closes the client for a profile that what is stored gives no access to. A cache that is behind is not to have
// it made again.
func (p *Pool) outdate(name profileKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.clients[name]
	if !ok {
		return
	}
	p.retire(found.client)
	delete(p.clients, name)
	if p.stored != nil {
		p.clients[name] = &pooled{outdated: cmp.Or(found.identity, found.outdated), lastUsed: p.options.clock.Now()}
	}
}

// Forget closes the client for the ClusterProfile with that UID, if there is one.
func (p *Pool) Forget(uid types.UID) {
	p.remove(func(key profileKey, _ *pooled) bool { return key.uid == uid })
}

// Run closes clients that have not been asked for in a while, until ctx ends, and
// then all. Clients that are asked for after that work, but are not closed by themselves.
func (p *Pool) Run(ctx context.Context) {
	ticker := p.options.clock.NewTicker(evictionPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			p.remove(func(profileKey, *pooled) bool { return true })
			p.disconnect(p.options.clock.Now().Add(retirement))
			return
		case now := <-ticker.C():
			p.remove(func(_ profileKey, c *pooled) bool { return now.Sub(c.lastUsed) >= idleTimeout })
			p.disconnect(now.Add(-retirement))
		}
	}
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

// retire closes a client, if there is one; p.mu is held.
func (p *Pool) retire(client *Client) {
	if client == nil {
		return
	}
	client.gate.close()
	p.retired = append(p.retired, retired{client: client, since: p.options.clock.Now()})
}

// disconnect closes the connections that are left of clients that retired before then.
func (p *Pool) disconnect(then time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retired = slices.DeleteFunc(p.retired, func(r retired) bool {
		return r.since.Before(then) && r.client.gate.disconnect()
	})
}
