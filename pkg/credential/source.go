// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// getTimeout bounds what is done for one credential: to wait for another process that has the hub asked, and to ask it.
	getTimeout = 90 * time.Second
	// renewTimeout bounds one request to the hub while there is a token that still works: client-go holds the requests of
	// its user up meanwhile.
	renewTimeout = 5 * time.Second
	// renewRetry is when to ask a hub again that could not be reached, while there is a token that still works.
	renewRetry = 30 * time.Second
	// minTokenAge is for how long a token that was just minted is not replaced because its user asks again.
	minTokenAge = 5 * time.Second
)

// Minter has the hub answer requests.
type Minter interface {
	Mint(ctx context.Context, r Request) (*v1alpha1.AuthTokenRequestStatus, error)
}

// Options say how credentials are kept.
type Options struct {
	// CacheDir is the folder of the cache. Empty: DefaultCacheDir.
	CacheDir string
	// MaxAge is for how long a token is used at most, before its own time to be replaced. Zero: until then.
	MaxAge time.Duration
	// Caller is the process that client-go runs in, or 0 when that is not known.
	Caller int
}

// Source gets credentials from the cache while they are fresh, and else from the hub.
type Source struct {
	minter Minter
	cache  cache
	// identity is a hash of the hub and of who we are there.
	identity string
	options  Options
	clock    clock.PassiveClock
}

// NewSource returns a source that asks the hub which config leads to.
func NewSource(ctx context.Context, config *rest.Config, options Options) (*Source, error) {
	hub, err := NewHub(config)
	if err != nil {
		return nil, err
	}
	if options.CacheDir == "" {
		if options.CacheDir, err = DefaultCacheDir(); err != nil {
			klog.FromContext(ctx).Info("Tokens are not cached", "err", err)
		}
	}
	s := &Source{minter: hub, identity: hub.id, options: options, clock: clock.RealClock{}}
	if options.CacheDir != "" {
		if s.cache, err = openCache(ctx, options.CacheDir); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Get returns a credential that answers r. Where to is not nil, it is how the client will connect, and only a credential
// for the cluster that it then reaches is returned.
//
// A token is used until its refreshAfter. From then on the hub is asked, and where that fails for other reasons than a refusal,
// the token goes on being used until it expires. Of several processes that want the same, one asks and the others wait for it.
//
// client-go runs its plugin again after a 401, and does not say so. But it would not have asked again for a token that is fresh: a
// process that has this one already is taken to have been refused with it, and gets another.
func (s *Source) Get(ctx context.Context, r Request, to *clientauthenticationv1.Cluster) (*Credential, error) {
	r, err := r.complete()
	if err != nil {
		return nil, err
	}
	key, err := hash([]any{s.identity, r})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	unlock, err := s.cache.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	cached, err := s.usable(ctx, key, to)
	if err != nil {
		return nil, err
	}
	if cached != nil && s.fresh(cached) && !s.wasRefused(cached) {
		s.keep(ctx, key, cached, false)
		return cached.credential(s.refreshAt(cached)), nil
	}
	minted, err := s.mint(ctx, r, cached != nil)
	switch {
	case err == nil:
	case cached == nil || refused(err):
		return nil, err
	default:
		klog.FromContext(ctx).Error(err, "Using the token at hand", "cluster", r.Cluster(), "expires", cached.Expiration)
		s.keep(ctx, key, cached, false)
		return cached.credential(earlier(s.clock.Now().Add(renewRetry), cached.Expiration)), nil
	}
	if err := checkDestination(to, minted.Cluster); err != nil {
		return nil, fmt.Errorf("no token of cluster %s is handed out: %w", r.Cluster(), err)
	}
	s.cache.prune(s.clock.Now())
	s.keep(ctx, key, minted, true)
	return minted.credential(s.refreshAt(minted)), nil
}

// usable returns the cached entry if its token still works and is for the cluster at to, else nil.
func (s *Source) usable(ctx context.Context, key string, to *clientauthenticationv1.Cluster) (*entry, error) {
	cached, err := s.cache.read(ctx, key)
	if err != nil || cached == nil {
		return nil, err
	}
	// The cluster may have moved since: the hub knows.
	if !s.clock.Now().Before(cached.Expiration) || !isFor(to, cached.Cluster) {
		return nil, nil
	}
	return cached, nil
}

// fresh says whether it is not yet time to replace the token.
func (s *Source) fresh(e *entry) bool { return s.clock.Now().Before(s.refreshAt(e)) }

// refreshAt returns when the token is to be replaced.
func (s *Source) refreshAt(e *entry) time.Time {
	if s.options.MaxAge == 0 {
		return e.Refresh
	}
	return earlier(e.Refresh, e.Minted.Add(s.options.MaxAge))
}

// wasRefused says whether our caller must have been refused with this token. A token of the last seconds is kept
// all the same: a member that refuses every token would else have every request answered by a new one.
func (s *Source) wasRefused(e *entry) bool {
	return slices.Contains(e.Callers, s.options.Caller) && s.clock.Since(e.Minted) >= minTokenAge
}

// mint asks the hub. It does not wait long for it while there is a token that still works.
func (s *Source) mint(ctx context.Context, r Request, haveOne bool) (*entry, error) {
	if haveOne {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, renewTimeout)
		defer cancel()
	}
	minted := s.clock.Now()
	status, err := s.minter.Mint(ctx, r)
	if err != nil {
		return nil, err
	}
	return &entry{
		Version:    entryVersion,
		Token:      status.Token,
		Expiration: status.ExpirationTimestamp.Time,
		Refresh:    status.RefreshAfter.Time,
		Minted:     minted,
		Cluster:    *status.Cluster,
	}, nil
}

// keep puts e into the cache, with our caller among those who have its token, unless that is there already.
func (s *Source) keep(ctx context.Context, key string, e *entry, minted bool) {
	if known := !e.handTo(s.options.Caller); known && !minted {
		return
	}
	s.cache.write(ctx, key, e)
}

// isFor says whether a token of cluster may be handed to a client that connects as it says in to.
func isFor(to *clientauthenticationv1.Cluster, cluster v1alpha1.Cluster) bool {
	return checkDestination(to, cluster) == nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
