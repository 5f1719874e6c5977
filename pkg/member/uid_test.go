// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
)

// named answers as a cluster with that UID, with more of metadata as JSON.
func named(uid, more string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":%q%s}}`, uid, more)
	}
}

// clientFunc returns a client for a member, by one of the ways to reach it.
type clientFunc func(t *testing.T, server *memberServer, clock clock.WithTicker) *Client

func bySecret(t *testing.T, server *memberServer, clock clock.WithTicker) *Client {
	t.Helper()
	return clientFor(t, server.URL, server.ca.pem, DefaultConfig(), clock)
}

func byPlugin(t *testing.T, server *memberServer, clock clock.WithTicker) *Client {
	t.Helper()
	pool := newTestPool(t, execConfig(t, "token", server.ca.pem, "https://127.0.0.1:*"), nil, clock)
	return clientOf(t, pool, pluginProfile("one", clientcmdv1.Cluster{Server: server.URL}))
}

func TestClient_MemberUID(t *testing.T) {
	const id = "6f1c0d9e-0000-4000-8000-000000000001"
	denied := answer(403, metav1.StatusReasonForbidden, `namespaces "kube-system" is forbidden: User "system:serviceaccount:x:y" cannot get`)
	missing := answer(404, metav1.StatusReasonNotFound, `namespaces "kube-system" not found`)
	for name, test := range map[string]struct {
		client  clientFunc
		handler http.HandlerFunc
		want    types.UID
		// cause of the error; empty: there is none.
		cause metav1.CauseType
		// calls that three questions take, and again is after how long the member is asked again.
		calls int
		again time.Duration
	}{
		"a member that says it, by a Secret":                        {bySecret, named(id, ""), id, "", 1, 0},
		"a member that says it, by a plugin":                        {byPlugin, named("member-1", ""), "member-1", "", 1, 0},
		"a member that forbids it, by a Secret":                     {bySecret, denied, "", "", 1, unknownFor},
		"a member that forbids it, by a plugin for several servers": {byPlugin, denied, "", CauseIdentity, 1, refusedFor},
		"a member without the namespace, by a Secret":               {bySecret, missing, "", "", 1, unknownFor},
		"a member without the namespace, by a plugin for several":   {byPlugin, missing, "", CauseIdentity, 1, refusedFor},
		"a member that does not know who asks":                      {bySecret, unauthorized, "", CauseUnauthorized, 3, 0},
		"a member that is in trouble": {
			bySecret, answer(500, metav1.StatusReasonInternalError, "etcd"), "", CauseAnswer, 3, 0,
		},
		"a member without a UID":       {bySecret, named("", ""), "", CauseAnswer, 3, 0},
		"a member whose UID has lines": {bySecret, named("a\nb\x1b[31m", ""), "", CauseAnswer, 3, 0},
		"a member whose UID is long":   {bySecret, named(strings.Repeat("a", 64), ""), "", CauseAnswer, 3, 0},
		"a member whose answer has no end": {
			bySecret, named("member-1", `,"annotations":{"a":"`+strings.Repeat("a", 2<<20)+`"}`), "", CauseAnswer, 3, 0,
		},
		"a member that answers with a redirect": {bySecret, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere", http.StatusFound)
		}, "", CauseRedirect, 3, 0},
		"a member that says it, by a plugin, with many other fields": {byPlugin, named("member-1", `,"labels":{"a":"b"}`), "member-1", "", 1, 0},
		"a member that answers with something else than a namespace": {bySecret, answer(http.StatusOK, "", ""), "", CauseAnswer, 3, 0},
		"a member that answers with what is no object, by a plugin": {byPlugin, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "<html>")
		}, "", CauseAnswer, 3, 0},
		"a member that asks to come back later, by a plugin for other": {
			byPlugin, answer(429, metav1.StatusReasonTooManyRequests, "later", "Retry-After", "1"), "", CauseThrottled, 3, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := newMemberServer(t, time.Now().Add(time.Hour), test.handler)
			clock := testingclock.NewFakeClock(time.Now())
			client := test.client(t, server, clock)
			ask := func() {
				t.Helper()
				uid, err := client.MemberUID(t.Context())
				assert.Equal(t, test.want, uid)
				if test.cause == "" {
					require.NoError(t, err)
					return
				}
				status := statusBecause(t, err, test.cause)
				assert.NotContains(t, status.Message, "\n")
				assert.NotContains(t, status.Message, "system:serviceaccount:x:y")
				assert.Less(t, len(status.Message), 2*maxWords)
			}
			for range 3 {
				ask()
			}
			assert.Len(t, server.seen(), test.calls)
			for _, r := range server.seen() {
				assert.Equal(t, "GET /api/v1/namespaces/kube-system", r.Method+" "+r.URL.Path)
			}
			if test.again > 0 {
				clock.Step(test.again)
				ask()
				assert.Len(t, server.seen(), test.calls+1, "it may have been given the right meanwhile")
			}
		})
	}
}

func TestClient_MemberUIDGivenTheRight(t *testing.T) {
	var given atomic.Bool
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		if given.Load() {
			named("member-1", "")(w, r)
			return
		}
		answer(http.StatusForbidden, metav1.StatusReasonForbidden, "no")(w, r)
	})
	clock := testingclock.NewFakeClock(time.Now())
	client := byPlugin(t, server, clock)
	_, err := client.MemberUID(t.Context())
	assert.Contains(t, statusErr(t, err).Message, `it is not known which cluster this is, `+
		`and access provider "plugin" may lead to several: let clusterpass get the namespace kube-system there`)

	given.Store(true)
	clock.Step(refusedFor)
	uid, err := client.MemberUID(t.Context())
	require.NoError(t, err)
	assert.Equal(t, types.UID("member-1"), uid)
}

// Many ask once.
func TestClient_MemberUIDOfMany(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), named("member-1", ""))
	client := bySecret(t, server, clock.RealClock{})
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			uid, err := client.MemberUID(t.Context())
			assert.NoError(t, err)
			assert.Equal(t, types.UID("member-1"), uid)
		})
	}
	asking.Wait()
	assert.Len(t, server.seen(), 1)
}

// A member that does not answer holds nobody.
func TestClient_MemberUIDCancelled(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		<-release
		named("member-1", "")(w, r)
	})
	client := bySecret(t, server, clock.RealClock{})
	first := make(chan error, 1)
	go func() {
		_, err := client.MemberUID(t.Context())
		first <- err
	}()
	<-asked
	_, err := client.MemberUID(cancelled())
	require.ErrorIs(t, err, context.Canceled)
	late, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("not within a moment"))
	defer cancel()
	_, err = client.MemberUID(late)
	assert.Contains(t, statusBecause(t, err, CauseTimeout).Message, "not within a moment")
	close(release)
	require.NoError(t, <-first)
}
