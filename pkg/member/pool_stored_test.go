// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/fake"
	testingclock "k8s.io/utils/clock/testing"
)

// laggingPool is a pool whose cache of Secrets may be behind what is stored.
type laggingPool struct {
	*Pool
	cached, stored fakeSecrets
	err            error
	reads          int
}

func newLaggingPool(t *testing.T) *laggingPool {
	t.Helper()
	l := &laggingPool{cached: fakeSecrets{}, stored: fakeSecrets{}}
	var err error
	l.Pool, err = NewPool(Options{Config: DefaultConfig(), Secrets: l.cached, Stored: l.read})
	require.NoError(t, err)
	return l
}

// read returns a Secret as it is stored.
func (l *laggingPool) read(_ context.Context, namespace, name string) (*corev1.Secret, error) {
	l.reads++
	if l.err != nil {
		return nil, l.err
	}
	return l.stored.Get(namespace, name)
}

// A refusal is confirmed by what is stored.
func TestPool_ForRefusal(t *testing.T) {
	ca := newAuthority(t, "ca")
	good := kubeconfig(t, memberURL, ca.pem, nil)
	bad := kubeconfig(t, memberURL, ca.pem, func(e entries) { e.InsecureSkipTLSVerify = true })
	profile := profileFor(`{"name":"m"}`)
	for name, test := range map[string]struct {
		cached, stored []byte
		annotation     string // of the cached one
		reads          int
		want           string
	}{
		"what works costs no read":                       {cached: good, stored: good},
		"a Secret that the cache does not have yet":      {stored: good, reads: 1},
		"a kubeconfig that is refused, and was replaced": {cached: bad, stored: good, reads: 1},
		"a Secret that was for another cluster":          {cached: good, stored: good, annotation: "default/smartfish", reads: 1},
		"a Secret that is not there":                     {reads: 1, want: "there is no Secret"},
		"a kubeconfig that is refused stays refused":     {cached: bad, stored: bad, reads: 1, want: "insecure-skip-tls-verify is refused"},
		"one that is refused, and was deleted":           {cached: bad, reads: 1, want: "there is no Secret"},
		"what works is used, whatever is stored":         {cached: good},
	} {
		t.Run(name, func(t *testing.T) {
			pool := newLaggingPool(t)
			if test.cached != nil {
				secret := pool.cached.add("m", test.cached)
				if test.annotation != "" {
					secret.Annotations[ClusterProfileAnnotation] = test.annotation
				}
			}
			if test.stored != nil {
				pool.stored.add("m", test.stored)
			}
			client, err := pool.For(t.Context(), profile)
			assert.Equal(t, test.reads, pool.reads)
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				assert.Equal(t, CauseNoAccess, statusErr(t, err).Details.Causes[0].Type)
				return
			}
			require.NoError(t, err)
			assert.NotNil(t, client)
		})
	}
}

// A client is kept until a refusal is sure.
func TestPool_ForKeepsClient(t *testing.T) {
	pool := newLaggingPool(t)
	secret := pool.cached.add("m", kubeconfig(t, memberURL, newAuthority(t, "ca").pem, nil))
	profile := profileFor(`{"name":"m"}`)
	client := clientOf(t, pool, profile)
	delete(pool.cached, "clusterpass-system/m")

	pool.err = errors.New("the hub is away")
	_, err := pool.For(t.Context(), profile)
	require.ErrorContains(t, err, "the hub is away")
	_, err = pool.For(cancelled(), profile)
	require.ErrorIs(t, err, context.Canceled)
	assert.Len(t, pool.clients, 1)

	pool.err = nil
	pool.cached["clusterpass-system/m"] = secret
	assert.Same(t, client, clientOf(t, pool, profile))

	delete(pool.cached, "clusterpass-system/m")
	_, err = pool.For(t.Context(), profile)
	require.ErrorContains(t, err, "there is no Secret")
	assert.Empty(t, pool.activity())
}

// TestPool_ForStaleCache is about a cache that is stuck: what it has is asked for first with each
// request.
func TestPool_ForStaleCache(t *testing.T) {
	ca := newAuthority(t, "ca").pem
	was := kubeconfig(t, memberURL, ca, nil)
	is := kubeconfig(t, memberURL, ca, func(e entries) { e.Token = "renewed" })
	profile := profileFor(`{"name":"m"}`)
	cached := func(t *testing.T, pool *laggingPool) *Client {
		t.Helper()
		client, err := pool.Cached(t.Context(), profile)
		require.NoError(t, err)
		return client
	}
	begin := func(t *testing.T) (*laggingPool, *Client) {
		t.Helper()
		pool := newLaggingPool(t)
		pool.cached.add("m", was)
		return pool, cached(t, pool)
	}
	t.Run("does not replace the client for what is stored", func(t *testing.T) {
		pool, old := begin(t)
		pool.stored.add("m", is)
		current, _, err := pool.StoredWithLeaving(t.Context(), profile)
		require.NoError(t, err)
		require.NotSame(t, old, current)
		for range 3 {
			assert.Same(t, current, cached(t, pool))
		}
		assert.Len(t, pool.retired, 1)
		pool.cached.add("m", is)
		assert.Same(t, current, cached(t, pool), "the cache has caught up")
	})
	t.Run("has no client made where what is stored gives no access", func(t *testing.T) {
		pool, _ := begin(t)
		for range 3 {
			_, _, err := pool.StoredWithLeaving(t.Context(), profile)
			require.ErrorContains(t, err, "there is no Secret")
			_, err = pool.Cached(t.Context(), profile)
			require.ErrorIs(t, err, errOutdated)
		}
		assert.Len(t, pool.retired, 1)
		assert.Empty(t, pool.activity())
	})
	t.Run("is believed again when what it has is stored", func(t *testing.T) {
		pool, _ := begin(t)
		_, _, err := pool.StoredWithLeaving(t.Context(), profile)
		require.Error(t, err)
		pool.stored.add("m", was)
		assert.Same(t, clientOf(t, pool, profile), cached(t, pool))
	})
	t.Run("is believed again after a while, when nobody reads what is stored", func(t *testing.T) {
		clock := testingclock.NewFakeClock(time.Now())
		pool := newLaggingPool(t)
		pool.options.Clock = clock
		pool.cached.add("m", was)
		cached(t, pool)
		_, _, err := pool.StoredWithLeaving(t.Context(), profile)
		require.Error(t, err)
		pool.stored.add("m", was)
		clock.Step(idleTimeout / 2)
		_, err = pool.Cached(t.Context(), profile)
		require.ErrorIs(t, err, errOutdated)
		clock.Step(idleTimeout / 2)
		pool.evict(clock.Now())
		cached(t, pool)
	})
	t.Run("is believed where it has something new", func(t *testing.T) {
		pool, _ := begin(t)
		pool.stored.add("m", is)
		current, _, err := pool.StoredWithLeaving(t.Context(), profile)
		require.NoError(t, err)
		pool.cached.add("m", kubeconfig(t, memberURL, ca, func(e entries) { e.Token = "newest" }))
		assert.NotSame(t, current, cached(t, pool))
	})
}

func TestPool_LiveLeaving(t *testing.T) {
	cached := fakeSecrets{}
	var live *corev1.Secret
	var failure error
	read := func(context.Context, string, string) (*corev1.Secret, error) { return live, failure }
	pool, err := NewPool(Options{Config: DefaultConfig(), Secrets: cached, Live: read})
	require.NoError(t, err)
	profile := profileFor(`{"name":"m"}`)
	live = cached.add("m", kubeconfig(t, memberURL, newAuthority(t, "ca").pem, nil)).DeepCopy()
	client, err := pool.Cached(t.Context(), profile)
	require.NoError(t, err)

	leaving, err := pool.LiveLeaving(t.Context(), profile)
	require.NoError(t, err)
	assert.Nil(t, leaving)

	live.Annotations[LeavingAnnotation] = "2026-05-04T12:00:00Z"
	leaving, err = pool.LiveLeaving(t.Context(), profile)
	require.NoError(t, err)
	require.NotNil(t, leaving)
	assert.Contains(t, leaving.String(), "since 2026-05-04T12:00:00Z")
	assert.Nil(t, pool.CachedLeaving(profile), "the cache is behind")

	live, failure = nil, errors.New("the hub is away")
	_, err = pool.LiveLeaving(t.Context(), profile)
	require.ErrorContains(t, err, "the hub is away")
	_, err = pool.LiveLeaving(cancelled(), profile)
	require.ErrorIs(t, err, context.Canceled)
	same, err := pool.Cached(t.Context(), profile)
	require.NoError(t, err)
	assert.Same(t, client, same, "it is not known that there is no access")

	failure = apierrors.NewNotFound(corev1.Resource("secrets"), "m")
	_, err = pool.LiveLeaving(t.Context(), profile)
	require.ErrorContains(t, err, "there is no Secret")
	assert.Equal(t, CauseNoAccess, statusErr(t, err).Details.Causes[0].Type)
	assert.Empty(t, pool.activity())
}

// No other Secrets are read.
func TestSecretInformers_OtherSecrets(t *testing.T) {
	hub := fake.NewClientset(
		marked("clusterpass-system", "member", "true"), marked("clusterpass-system", "other", "no"), marked("kube-system", "member", "true"))
	secrets := NewSecretInformers(hub, nil, nil, DefaultConfig())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, read := range map[string]readStoredSecret{"shared": secrets.Stored, "at once": secrets.Live} {
		t.Run(name, func(t *testing.T) {
			found, err := read(ctx, "clusterpass-system", "member")
			require.NoError(t, err)
			assert.Equal(t, "member", found.Name)
			_, err = read(ctx, "clusterpass-system", "other")
			assert.True(t, apierrors.IsNotFound(err), "one without the label: %v", err)
			calls := len(hub.Actions())
			_, err = read(ctx, "kube-system", "member")
			assert.True(t, apierrors.IsNotFound(err), "one of another namespace: %v", err)
			_, err = read(ctx, "clusterpass-system", "../configmaps/member")
			assert.True(t, apierrors.IsNotFound(err), "what is no name: %v", err)
			assert.Len(t, hub.Actions(), calls, "another namespace was read")
		})
	}
}
