// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
)

const (
	first  = "token-1-for-default/bravelion"
	second = "token-2-for-default/bravelion"
)

// When the hub is asked.
func TestSource_Get(t *testing.T) {
	for name, test := range map[string]struct {
		// after is how long after the first token another is wanted, of a hub that answers err.
		after  time.Duration
		err    error
		maxAge time.Duration
		caller int
		// want is the token, empty for an error.
		want string
		// asked is how often the hub was asked then.
		asked int
	}{
		"a fresh token is used again":                       {after: 47 * time.Minute, want: first, asked: 1},
		"from refreshAfter on the hub is asked":             {after: refreshAfter, want: second, asked: 2},
		"an expired token is replaced":                      {after: 2 * time.Hour, want: second, asked: 2},
		"a token older than the flag allows is replaced":    {after: 5 * time.Minute, maxAge: 5 * time.Minute, want: second, asked: 2},
		"a flag above refreshAfter changes nothing":         {after: refreshAfter, maxAge: 2 * time.Hour, want: second, asked: 2},
		"a hub that is not reached leaves the token in use": {after: refreshAfter, err: errUnreachable, want: first, asked: 2},
		"so does one that is not well": {after: refreshAfter, err: apierrors.NewServiceUnavailable("shutting down"),
			want: first, asked: 2},
		"so does one that has too much to do": {after: refreshAfter, err: apierrors.NewTooManyRequestsError("later"),
			want: first, asked: 2},
		"so does one whose member times out": {after: refreshAfter, err: apierrors.NewTimeoutError("bravelion", 1),
			want: first, asked: 2},
		"a refusal is returned": {after: refreshAfter, err: refusal(), asked: 2},
		"a cluster that is gone is an error": {after: refreshAfter,
			err: apierrors.NewNotFound(schema.GroupResource{}, "bravelion"), asked: 2},
		"an expired token is not used when the hub is not reached": {after: lifetime, err: errUnreachable, asked: 2},
		"the hub is not asked before it is time":                   {after: time.Minute, err: refusal(), want: first, asked: 1},
		"another process gets the token, too":                      {after: time.Minute, caller: 2, want: first, asked: 1},
		"a process that has the token already was refused with it": {after: time.Minute, caller: 1, want: second, asked: 2},
		"but a token of the last seconds is not replaced for that": {after: 4 * time.Second, caller: 1, want: first, asked: 1},
		"and stays in use when the hub is not reached":             {after: time.Minute, caller: 1, err: errUnreachable, want: first, asked: 2},
	} {
		t.Run(name, func(t *testing.T) {
			hub, dir := newFakeHub(t), cacheDir(t)
			hub.get(t, dir, 1)
			hub.pass(test.after)
			hub.err = test.err

			source := hub.source(t, dir, cmp.Or(test.caller, 2))
			source.options.MaxAge = test.maxAge
			got, err := source.Get(t.Context(), request(), nil)
			assert.Equal(t, test.asked, hub.asked)
			if test.want == "" {
				require.ErrorIs(t, err, test.err)
				assert.NotContains(t, err.Error(), first)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.want, got.Token)
			assert.True(t, got.AskAgain.After(hub.clock.Now()), "client-go would ask at once")
			assert.False(t, got.AskAgain.After(got.Expiration), "client-go would use the token after its time")
		})
	}
}

// A hub that is down is left alone for a while.
func TestSource_GetHubDown(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	hub.get(t, dir, 1)
	hub.pass(refreshAfter)
	hub.err = errUnreachable
	assert.Equal(t, hub.clock.Now().Add(renewRetry), hub.get(t, dir, 1).AskAgain)
	assert.LessOrEqual(t, hub.timeout, renewTimeout, "a client would wait for long")
	for caller := range 10 {
		hub.get(t, dir, 100+caller)
	}
	assert.Equal(t, 2, hub.asked, "each process has waited for the hub")

	hub.pass(renewRetry)
	hub.get(t, dir, 1)
	assert.Equal(t, 3, hub.asked)

	hub.pass(renewRetry)
	hub.err = nil
	assert.Equal(t, "token-4-for-default/bravelion", hub.get(t, dir, 1).Token)
}

// Of processes at once, one asks the hub.
func TestSource_GetAtOnce(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	var running sync.WaitGroup
	for caller := range 10 {
		source := hub.source(t, dir, 1+caller)
		running.Go(func() {
			got, err := source.Get(t.Context(), request(), nil)
			if assert.NoError(t, err) {
				assert.Equal(t, first, got.Token)
			}
		})
	}
	running.Wait()
	assert.Equal(t, 1, hub.asked)
}

// Whoever gives up does not wait for others.
func TestSource_GetCancelled(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	begun, end := make(chan struct{}), make(chan struct{})
	hub.minting = func() { close(begun); <-end }
	var running sync.WaitGroup
	running.Go(func() {
		_, err := hub.source(t, dir, 1).Get(t.Context(), request(), nil)
		assert.NoError(t, err)
	})
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := hub.source(t, dir, 2).Get(ctx, request(), nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "another process")
	close(end)
	running.Wait()
}

// What is asked for, and by whom, is kept apart.
func TestSource_GetOfOtherRequests(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	requests := map[string]func(*Source, *Request){
		"another cluster":      func(_ *Source, r *Request) { r.TargetClusterProfile.Name = "smartfish" },
		"another role":         func(_ *Source, r *Request) { r.ClusterRoles[0].Name = "edit" },
		"another account":      func(_ *Source, r *Request) { r.ServiceAccountName = "play" },
		"another lifetime":     func(_ *Source, r *Request) { r.ExpirationSeconds = new(int64) },
		"another user":         func(s *Source, _ *Request) { s.who = somebody("bob") },
		"another hub":          func(s *Source, _ *Request) { s.hub = "other" },
		"another ticket":       func(_ *Source, r *Request) { r.Annotations = map[string]string{"ticket": "2"} },
		"another uid":          func(_ *Source, r *Request) { r.TargetClusterProfile.UID = "1" },
		"another asking place": func(_ *Source, r *Request) { r.Namespace, r.TargetClusterProfile.Namespace = "team", "default" },
	}
	hub.get(t, dir, 1)
	for name, change := range requests {
		t.Run(name, func(t *testing.T) {
			before := hub.asked
			source, r := hub.source(t, dir, 2), request()
			change(source, &r)
			_, err := source.Get(t.Context(), r, nil)
			require.NoError(t, err)
			assert.Equal(t, before+1, hub.asked)
		})
	}
	hub.get(t, dir, 3)
	assert.Equal(t, 1+len(requests), hub.asked)
}

// A token is handed only to clients of its cluster.
func TestSource_GetForOtherClusters(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	right := &clientauthenticationv1.Cluster{Server: hub.cluster.Server, CertificateAuthorityData: hub.cluster.CertificateAuthorityData}
	wrong := right.DeepCopy()
	wrong.Server = "https://thief.example.com:6443"

	_, err := hub.source(t, dir, 1).Get(t.Context(), request(), wrong)
	require.ErrorContains(t, err, "no token of cluster default/bravelion is handed out")
	assert.Empty(t, entries(t, dir), "a token that nobody got is kept")

	got, err := hub.source(t, dir, 1).Get(t.Context(), request(), right)
	require.NoError(t, err)
	assert.Equal(t, second, got.Token)

	_, err = hub.source(t, dir, 2).Get(t.Context(), request(), wrong)
	require.ErrorContains(t, err, "thief.example.com", "the cached token")
	hub.err = errUnreachable
	_, err = hub.source(t, dir, 2).Get(t.Context(), request(), wrong)
	require.ErrorIs(t, err, errUnreachable, "the cached token, with the hub down")

	hub.err = nil
	hub.cluster.Server = wrong.Server
	moved, err := hub.source(t, dir, 3).Get(t.Context(), request(), wrong)
	require.NoError(t, err, "a cluster that has moved, as the hub says")
	assert.NotEqual(t, second, moved.Token)
}

// Requests that say too little.
func TestSource_GetInvalidRequests(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Request)
		want   string
	}{
		"no cluster":   {func(r *Request) { r.TargetClusterProfile.Name = "" }, "which ClusterProfile"},
		"no namespace": {func(r *Request) { r.Namespace = "" }, "which ClusterProfile"},
		"no account":   {func(r *Request) { r.ServiceAccountName = "" }, "default/bravelion names no ServiceAccount"},
	} {
		t.Run(name, func(t *testing.T) {
			hub, r := newFakeHub(t), request()
			test.change(&r)
			_, err := (&Source{minter: hub, clock: hub.clock}).Get(t.Context(), r, nil)
			require.ErrorContains(t, err, test.want)
			assert.Zero(t, hub.asked)
		})
	}
}

// Without a cache, the hub is asked each time.
func TestSource_GetWithoutCache(t *testing.T) {
	hub := newFakeHub(t)
	source := &Source{minter: hub, clock: hub.clock}
	for range 2 {
		_, err := source.Get(t.Context(), request(), nil)
		require.NoError(t, err)
	}
	assert.Equal(t, 2, hub.asked)
}

// What client-go gets.
func TestCredential_ExecStatus(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		askAgain, want time.Duration
	}{
		"when to ask again, and not when the token expires":     {askAgain: refreshAfter, want: refreshAfter},
		"three seconds at the least, with a clock that is fast": {askAgain: -time.Hour, want: minValidity},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Credential{Token: "t", Expiration: now.Add(lifetime), AskAgain: now.Add(test.askAgain)}
			status := c.ExecStatus(now)
			assert.Equal(t, "t", status.Token)
			assert.Equal(t, now.Add(test.want), status.ExpirationTimestamp.Time)
		})
	}
}

func TestOpenCache_Default(t *testing.T) {
	home := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", home)
	t.Setenv("HOME", home)
	opened, err := openCache("")
	require.NoError(t, err)
	parent, name := filepath.Split(opened.dir)
	assert.Equal(t, "clusterpass/tokens", filepath.Base(parent)+"/"+name)
}

// A refused token is replaced once.
func TestSource_GetRefusedToken(t *testing.T) {
	hub, dir := newFakeHub(t), cacheDir(t)
	asked := func(caller int) int {
		t.Helper()
		hub.get(t, dir, caller)
		return hub.asked
	}
	assert.Equal(t, 1, asked(1))
	hub.pass(time.Minute)
	assert.Equal(t, 2, asked(1), "a process that asks again was refused")
	for range 9 {
		hub.pass(time.Minute)
		assert.Equal(t, 2, asked(1), "it asks again and again")
	}
	assert.Equal(t, 2, asked(2), "another process has the new token")
	hub.pass(time.Minute)
	assert.Equal(t, 3, asked(2), "which may have been refused in its turn")
	assert.Equal(t, 3, asked(1), "the first process has the new token, too")
	hub.pass(time.Minute)
	assert.Equal(t, 4, asked(1), "after a while it may be refused again")
	assert.Equal(t, 4, asked(2), "the second process has the new token")
	hub.pass(time.Minute)
	assert.Equal(t, 4, asked(2), "what others have had replaced is remembered")
	hub.pass(refreshAfter)
	assert.Equal(t, 5, asked(1), "the time of the token has come")
	assert.Equal(t, 5, asked(1), "a parent that asks shortly afterwards")
}

// Tokens of another cluster are dropped.
func TestSource_RenewOtherCluster(t *testing.T) {
	other := request()
	other.ServiceAccountName = "other"
	elsewhere := request()
	elsewhere.TargetClusterProfile.Name = "smartfish"
	for name, test := range map[string]struct {
		change func(*fakeHub)
		kept   int
	}{
		"the same cluster":              {change: func(*fakeHub) {}, kept: 3},
		"joined again, by another UID":  {change: func(h *fakeHub) { h.grant = "second" }, kept: 2},
		"joined with another address":   {change: func(h *fakeHub) { h.cluster.Server = "https://new.example.com" }, kept: 2},
		"joined with another authority": {change: func(h *fakeHub) { h.cluster.CertificateAuthorityData = []byte("new") }, kept: 2},
	} {
		t.Run(name, func(t *testing.T) {
			hub, dir := newFakeHub(t), cacheDir(t)
			for _, r := range []Request{request(), other, elsewhere} {
				_, err := hub.source(t, dir, 1).Get(t.Context(), r, nil)
				require.NoError(t, err)
			}
			test.change(hub)
			got, err := hub.source(t, dir, 2).Renew(t.Context(), request())
			require.NoError(t, err)
			assert.Equal(t, "token-4-for-default/bravelion", got.Token)
			assert.Equal(t, hub.cluster, got.Cluster)
			assert.Len(t, entries(t, dir), test.kept)
			assert.Equal(t, "token-4-for-default/bravelion", hub.get(t, dir, 3).Token, "the new token is not kept")
		})
	}
	t.Run("a hub that is down gives nothing", func(t *testing.T) {
		hub, dir := newFakeHub(t), cacheDir(t)
		hub.get(t, dir, 1)
		hub.err = errUnreachable
		_, err := hub.source(t, dir, 2).Renew(t.Context(), request())
		require.ErrorIs(t, err, errUnreachable)
	})
}

func TestCaller(t *testing.T) {
	t.Setenv(ExecInfoEnv, "")
	assert.Empty(t, Caller(), "there is no caller of client-go")
	t.Setenv(ExecInfoEnv, "{}")
	again := Caller()
	assert.NotEmpty(t, again)
	assert.Equal(t, again, Caller(), "it is the same process")
	if start, known := processStart(os.Getpid()); known {
		parent, _ := processStart(os.Getppid())
		assert.NotEqual(t, parent, start)
		assert.Contains(t, Caller(), parent)
	}
}
