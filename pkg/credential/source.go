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
	// renewRetry is after what time to ask a hub again that could not be reached, while there is a token that still works.
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
	if cached != nil && s.clock.Now().Before(s.askAgain(cached)) && !s.wasRefused(cached) {
		return s.hand(ctx, key, cached), nil
	}
	minted, err := s.mint(ctx, r, cached != nil)
	switch {
	case err == nil:
	case cached == nil || refused(err):
		return nil, err
	default:
		klog.FromContext(ctx).Error(err, "Using the token at hand", "cluster", r.Cluster(), "expires", cached.Expiration)
		// Others who want the same need not wait for the hub, each in turn.
		cached.Retry = s.clock.Now().Add(renewRetry)
		return s.hand(ctx, key, cached), nil
	}
	if err := checkDestination(to, minted.Cluster); err != nil {
		return nil, fmt.Errorf("no token of cluster %s is handed out: %w", r.Cluster(), err)
	}
	s.cache.prune(s.clock.Now())
	return s.hand(ctx, key, minted), nil
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

// askAgain returns when the hub is to be asked for the next token, in whole seconds: so client-go is told.
func (s *Source) askAgain(e *entry) time.Time {
	at := e.Refresh
	if s.options.MaxAge > 0 {
		at = earlier(at, e.Minted.Add(s.options.MaxAge))
	}
	if e.Retry.After(at) {
		at = e.Retry
	}
	return earlier(at, e.Expiration).Truncate(time.Second)
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

// hand keeps e, with our caller among those who have its token, and returns its credential.
func (s *Source) hand(ctx context.Context, key string, e *entry) *Credential {
	e.handTo(s.options.Caller)
	s.cache.write(ctx, key, e)
	return &Credential{Token: e.Token, Expiration: e.Expiration, AskAgain: s.askAgain(e), Cluster: e.Cluster}
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
