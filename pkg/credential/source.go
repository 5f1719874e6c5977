// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	// getTimeout bounds what is done for one credential: to wait for another process that has the hub
	// asked, and to ask it.
	getTimeout = 90 * time.Second
	// renewTimeout bounds one request to the hub while there is a token that still works: client-go
	// holds the requests of its user up meanwhile.
	renewTimeout = 5 * time.Second
	// renewRetry is after what time to ask a hub again that could not be reached, while there is a
	// token that still works.
	renewRetry = 30 * time.Second
	// minTokenAge is for how long a token that was just minted is not replaced because its user asks
	// again.
	minTokenAge = 5 * time.Second
	// forcedPause is for how long a process that had a token replaced before its time has no other one
	// replaced.
	forcedPause = 10 * time.Minute
)

// warningCode is that of warnings in HTTP headers.
const warningCode = 299

// Credential is a token for a member cluster and what to know of it.
type Credential struct {
	// Token is the bearer token.
	Token string `datapolicy:"token"`
	// Expiration is when the token ceases to work, by the member's clock.
	Expiration time.Time
	// AskAgain is when to ask for the next one, while this one still works.
	AskAgain time.Time
	// Cluster is how to reach the member cluster, as the hub says.
	Cluster v1alpha1.Cluster
}

// Minter has the hub answer requests.
type Minter interface {
	Mint(ctx context.Context, r Request) (*v1alpha1.AuthTokenRequestStatus, error)
	Username(ctx context.Context) (string, error)
	FindProfile(ctx context.Context, namespace string, to *clientauthenticationv1.Cluster) (v1alpha1.ClusterProfileReference, error)
}

// Options say how credentials are kept.
type Options struct {
	// CacheDir is the folder of the cache. Empty: that of the user.
	CacheDir string
	// MaxAge is for how long a token is used at most, before its own time to be replaced. Zero: until
	// then.
	MaxAge time.Duration
	// Caller is the process that client-go runs in, or empty when that is not known.
	Caller string
}

// Source gets credentials from the cache while they are fresh, and else from the hub.
type Source struct {
	minter Minter
	// cache is nil where none can be had safely.
	cache *cache
	// hub is a hash of which hub it is.
	hub string
	// who are we there?
	who     identifier
	options Options
	clock   clock.PassiveClock
	// warn tells the user what is not as it should be, and is no reason to keep a token back.
	warn func(text string)
}

// NewSource returns a source that asks the hub which config leads to. Where no token can be cached
// safely, none is, and config's handler of warnings hears why.
func NewSource(config *rest.Config, options Options) (*Source, error) {
	hub, err := NewHub(config)
	if err != nil {
		return nil, err
	}
	s := &Source{minter: hub, hub: hub.id, options: options, clock: clock.RealClock{}, warn: func(text string) {
		if config.WarningHandler != nil {
			config.WarningHandler.HandleWarningHeader(warningCode, "", text)
		}
	}}
	if s.cache, err = openCache(options.CacheDir); err != nil {
		s.warn("tokens are not cached: " + err.Error())
	}
	s.who = &person{hub: hub, cache: s.cache, clock: s.clock}
	return s, nil
}

// Username returns the name that the hub knows us by.
func (s *Source) Username(ctx context.Context) (string, error) {
	if s.cache != nil {
		if _, username, err := s.who.identity(ctx); err == nil && username != "" {
			return username, nil
		}
	}
	return s.minter.Username(ctx)
}

// Get returns a credential that answers r. Where to is not nil, it is how the client will connect,
// and only a credential for the cluster that it then reaches is returned.
//
// A token is used until its refreshAfter, by who got it. From then on the hub is asked, and where
// that fails for other reasons than a refusal, the token goes on being used until it expires. Of
// several processes that want the same, one asks and the others wait for it.
//
// client-go runs its plugin again after a 401, and does not say so. But it would not have asked
// again for a token that is fresh: a process that has this one already is taken to have been
// refused with it, and gets another, once.
func (s *Source) Get(ctx context.Context, r Request, to *clientauthenticationv1.Cluster) (*Credential, error) {
	return s.get(ctx, r, to, false)
}

// Renew returns a credential as Get does, of a token that the hub gives now: it knows how the
// cluster is reached, and that it is still the one of its name.
func (s *Source) Renew(ctx context.Context, r Request) (*Credential, error) {
	return s.get(ctx, r, nil, true)
}

// want is what somebody wants of the cache.
type want struct {
	request Request
	// to, where not nil, is how the client will connect.
	to *clientauthenticationv1.Cluster
	// key is that of the entry, and id who wants it.
	key, id string
}

func (s *Source) get(ctx context.Context, r Request, to *clientauthenticationv1.Cluster, renew bool) (*Credential, error) {
	r, err := r.complete()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	if s.cache == nil {
		return s.uncached(ctx, r, to)
	}
	id, _, err := s.who.identity(ctx)
	switch {
	case errors.Is(err, errUnsafe):
		return s.distrust(ctx, r, to, err)
	case err != nil:
		return nil, fmt.Errorf("%w; no cached token of cluster %s is used", err, r.Cluster())
	}
	key, err := hash([]any{s.hub, id, r, r.Annotations})
	if err != nil {
		return nil, err
	}
	unlock, err := s.cache.lock(ctx, key)
	if err != nil {
		return nil, err
	}
	defer unlock()
	kept, err := s.cache.read(ctx, key)
	if err != nil {
		return s.distrust(ctx, r, to, err)
	}
	w := want{request: r, to: to, key: key, id: id}
	// The cluster may have moved since: the hub knows.
	usable := kept != nil && s.clock.Now().Before(kept.Expiration) && checkDestination(to, kept.Cluster) == nil
	if usable && !renew {
		return s.current(ctx, w, kept)
	}
	minted, err := s.mint(ctx, r)
	if err != nil {
		return nil, err
	}
	return s.keep(ctx, w, kept, minted)
}

// current returns the credential of cached, whose token works, or another where it is time for
// that, or where cached was refused.
func (s *Source) current(ctx context.Context, w want, cached *entry) (*Credential, error) {
	forced := s.wasRefused(cached)
	if !forced && s.clock.Now().Before(s.askAgain(cached)) {
		return s.hand(w.key, cached), nil
	}
	renewing, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	minted, err := s.mint(renewing, w.request)
	if refused(err) {
		return nil, err
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Using the token at hand", "cluster", w.request.Cluster(), "expires", cached.Expiration)
		// Others who want the same need not wait for the hub, each in turn.
		cached.Retry = s.clock.Now().Add(renewRetry)
		return s.hand(w.key, cached), nil
	}
	if forced {
		minted.forcedBy(s.options.Caller, cached)
	}
	return s.keep(ctx, w, cached, minted)
}

// keep returns the credential of minted, and keeps it in place of before, which may be nil.
func (s *Source) keep(ctx context.Context, w want, before, minted *entry) (*Credential, error) {
	if err := handOver(w.request, w.to, minted); err != nil {
		return nil, err
	}
	s.cache.prune(s.clock.Now(), func(e *entry) bool {
		return minted.replaces(before) && e.Hub == minted.Hub && e.Profile == minted.Profile
	})
	// client-go may have logged in again meanwhile, as somebody else.
	if now, _, err := s.who.identity(ctx); err == nil && now == w.id {
		return s.hand(w.key, minted), nil
	}
	return s.credential(minted), nil
}

// distrust answers without the cache, which is as err says.
func (s *Source) distrust(ctx context.Context, r Request, to *clientauthenticationv1.Cluster, err error) (*Credential, error) {
	s.warn("no cached token is used: " + err.Error())
	return s.uncached(ctx, r, to)
}

// uncached has the hub answer r.
func (s *Source) uncached(ctx context.Context, r Request, to *clientauthenticationv1.Cluster) (*Credential, error) {
	minted, err := s.mint(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := handOver(r, to, minted); err != nil {
		return nil, err
	}
	return s.credential(minted), nil
}

// handOver returns nil if the token of e may be handed to a client that connects as it says in to.
func handOver(r Request, to *clientauthenticationv1.Cluster, e *entry) error {
	if err := checkDestination(to, e.Cluster); err != nil {
		return fmt.Errorf("no token of cluster %s is handed out: %w", r.Cluster(), err)
	}
	return nil
}

// askAgain returns when the hub is to be asked for the next token, in whole seconds, as client-go
// reads it.
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

// wasRefused returns whether our caller must have been refused with this token. A token of the last
// seconds is kept all the same, and so is one of a caller who had another replaced a while ago: a
// member that refuses every token, and a program that makes one client after the other, would else
// have a new one each time.
func (s *Source) wasRefused(e *entry) bool {
	now := s.clock.Now()
	if at, found := e.Forced[s.options.Caller]; found && now.Sub(at) < forcedPause {
		return false
	}
	return slices.Contains(e.Callers, s.options.Caller) && now.Sub(e.Minted) >= minTokenAge && !now.Before(e.Retry)
}

// mint asks the hub.
func (s *Source) mint(ctx context.Context, r Request) (*entry, error) {
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
		Hub:        s.hub,
		Profile:    r.Cluster().String(),
		Grant:      status.GrantName,
	}, nil
}

// hand keeps e, with our caller among those who have its token, and returns its credential. Not
// being able to keep it is no reason to keep the token from its user.
func (s *Source) hand(key string, e *entry) *Credential {
	e.handTo(s.options.Caller)
	if err := s.cache.write(key+entrySuffix, e); err != nil {
		s.warn("the token is not cached: " + err.Error())
	}
	return s.credential(e)
}

func (s *Source) credential(e *entry) *Credential {
	return &Credential{Token: e.Token, Expiration: e.Expiration, AskAgain: s.askAgain(e), Cluster: e.Cluster}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Caller returns the process that client-go runs in, so that no other one ever has its name, or
// nothing when it is not client-go that runs us.
//
// A process ID alone is not enough. They are used again, and in each container kubectl may be 1: of
// that number nothing is said where the system does not tell more.
func Caller() string {
	if os.Getenv(ExecInfoEnv) == "" {
		return ""
	}
	parent := os.Getppid()
	if start, ok := processStart(parent); ok {
		return strconv.Itoa(parent) + " " + start
	}
	if parent <= 1 {
		return ""
	}
	return strconv.Itoa(parent)
}
