// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"clusterpass.dev/test/answers"
)

// listen returns the URL of a listener that hands every connection to serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return "https://" + listener.Addr().String()
}

func TestClient_Error(t *testing.T) {
	type target struct {
		url string
		ca  []byte
	}
	serving := func(handler http.HandlerFunc) target {
		server := newMemberServer(t, time.Now().Add(time.Hour), handler)
		return target{server.URL, server.ca.pem}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	valid, expired := newMemberServer(t, time.Now().Add(time.Hour), ok), newMemberServer(t, time.Now().Add(-time.Minute), ok)
	const (
		late        = metav1.StatusReasonTimeout
		unavailable = metav1.StatusReasonServiceUnavailable
		tooMany     = metav1.StatusReasonTooManyRequests
	)
	tests := []struct {
		name   string
		target target
		code   int
		reason metav1.StatusReason
		cause  metav1.CauseType
		retry  int32
		words  []string
	}{
		{"a closed port", target{url: "https://" + closed.Addr().String()}, 504, late, CauseUnreachable, 0, []string{"connection refused"}},
		{"a name that does not resolve", target{url: "https://member.invalid"}, 504, late, CauseUnreachable, 0, []string{"member.invalid"}},
		{"a listener that accepts and never answers", target{url: listen(t, func(conn net.Conn) { t.Cleanup(func() { conn.Close() }) })},
			504, late, CauseTimeout, 0, []string{"waited for 300ms"}},
		{"a listener that hangs up", target{url: listen(t, func(conn net.Conn) { conn.Close() })}, 504, late, CauseUnreachable, 0, nil},
		{"a listener without TLS", target{url: listen(t, answerPlain)}, 503, unavailable, CauseTLS, 0, []string{"no trusted connection"}},
		{"a certificate of another CA", target{valid.URL, newAuthority(t, "other").pem},
			503, unavailable, CauseTLS, 0, []string{"unknown authority"}},
		{"a certificate that has expired", target{expired.URL, expired.ca.pem}, 503, unavailable, CauseTLS, 0, []string{"expired"}},
		{"a certificate for another name", target{strings.Replace(valid.URL, "127.0.0.1", "localhost", 1), valid.ca.pem},
			503, unavailable, CauseTLS, 0, []string{"localhost"}},
		{"401 is about our credential", serving(unauthorized), 503, unavailable, CauseUnauthorized, 0,
			[]string{"clusterpass's own credential (Unauthorized)", `access provider "kubeconfig-secretreader"`, "has to be renewed"}},
		{
			"403 is about our permissions and does not name us", serving(answer(403, metav1.StatusReasonForbidden,
				`serviceaccounts "work" is forbidden: User "system:serviceaccount:clusterpass-system:clusterpass" `+
					`cannot get resource "serviceaccounts" in API group "" in the namespace "default"`)),
			503, unavailable, CauseForbidden, 0,
			[]string{`does not allow clusterpass (not the requester)`, `clusterpass cannot get resource "serviceaccounts"`},
		},
		{
			"403 for an escalation does not name our groups", serving(answer(403, metav1.StatusReasonForbidden,
				`clusterroles "x" is forbidden: user "system:serviceaccount:a:b" (groups=["system:serviceaccounts" "system:authenticated"]) `+
					`is attempting to grant RBAC permissions not currently held`)),
			503, unavailable, CauseForbidden, 0, []string{"clusterpass is attempting to grant RBAC permissions not currently held"},
		},
		{"429 with Retry-After", serving(answer(429, tooMany, "too many requests", "Retry-After", "7")),
			429, tooMany, CauseThrottled, 7, []string{"too many requests"}},
		{"429 without Retry-After", serving(answer(429, tooMany, "too many requests")), 429, tooMany, CauseThrottled, 1, nil},
		{"429 for a day", serving(answer(429, tooMany, "go away", "Retry-After", "86400")), 429, tooMany, CauseThrottled, 10, nil},
		{"503 with Retry-After", serving(answer(503, unavailable, "etcd is away", "Retry-After", "2")),
			503, unavailable, CauseThrottled, 2, []string{"etcd is away"}},
		{
			"503 of a load balancer, in HTML", serving(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3")
				http.Error(w, "<html>no backend</html>", http.StatusServiceUnavailable)
			}),
			503, unavailable, CauseThrottled, 3, []string{"unable to handle the request"},
		},
		{"500", serving(answer(500, metav1.StatusReasonInternalError, "panic")), 503, unavailable, CauseAnswer, 0, []string{"panic"}},
		{"504", serving(answer(504, late, "etcd took too long")), 504, late, CauseTimeout, 0, []string{"etcd took too long"}},
		{"404 stays 404", serving(answer(404, metav1.StatusReasonNotFound, `namespaces "x" not found`)),
			404, metav1.StatusReasonNotFound, CauseAnswer, 0, []string{`namespaces "x" not found`}},
		{"409 stays 409", serving(answer(409, metav1.StatusReasonAlreadyExists, "it is there")),
			409, metav1.StatusReasonAlreadyExists, CauseAnswer, 0, nil},
		{"422 stays 422", serving(answer(422, metav1.StatusReasonInvalid, "bad name")), 422, metav1.StatusReasonInvalid, CauseAnswer, 0, nil},
		{
			"headers at once and a body that never comes", serving(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}),
			504, late, CauseTimeout, 0, []string{"waited for 300ms"},
		},
		{"an answer without end", serving(answers.Endless), 503, unavailable, CauseAnswer, 0, []string{"more than 1572864 bytes"}},
		{"an answer that is nothing of Kubernetes", serving(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }),
			503, unavailable, CauseAnswer, 0, nil},
	}
	// Only now: a server that starts could get its port.
	closed.Close()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := clientFor(t, test.target.url, test.target.ca, DefaultConfig(), nil)
			wait := 30 * time.Second
			if test.cause == CauseTimeout && test.code == 504 {
				wait = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), wait, fmt.Errorf("clusterpass waited for %s", wait))
			defer cancel()

			status := statusBecause(t, client.Error(list(ctx, client), "list namespaces"), test.cause)
			assert.EqualValues(t, test.code, status.Code)
			assert.Equal(t, test.reason, status.Reason)
			assert.Equal(t, test.retry, status.Details.RetryAfterSeconds)
			assert.Equal(t, "bravelion", status.Details.Name)
			assert.Contains(t, status.Message, "cluster default/bravelion: could not list namespaces: ")
			for _, words := range test.words {
				assert.Contains(t, status.Message, words)
			}
			assert.NotContains(t, status.Message, "system:")
			assert.Empty(t, client.gate.slots, "its slot is given back")
		})
	}
}

// answerPlain answers a TLS handshake in the clear.
func answerPlain(conn net.Conn) {
	_, _ = conn.Read(make([]byte, 1))
	_, _ = io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
	conn.Close()
}

// Calls are made once.
func TestClient_Retries(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"429 with Retry-After":       answer(429, metav1.StatusReasonTooManyRequests, "later", "Retry-After", "1"),
		"500 with Retry-After":       answer(500, metav1.StatusReasonInternalError, "later", "Retry-After", "1"),
		"an answer that breaks off":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a refusal of what we asked": answer(403, metav1.StatusReasonForbidden, "no"),
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newMember(t, handler)
			require.Error(t, list(t.Context(), client))
			assert.Len(t, server.seen(), 1)
		})
	}
}

// A connection that is reset is not tried again.
func TestClient_RetriesNoReset(t *testing.T) {
	accepted := make(chan struct{}, 100)
	url := listen(t, func(conn net.Conn) {
		accepted <- struct{}{}
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	})
	client := clientFor(t, url, nil, DefaultConfig(), nil)
	status := statusBecause(t, client.Error(list(t.Context(), client), "list"), CauseUnreachable)
	assert.Contains(t, status.Message, "reset by peer")
	assert.Len(t, accepted, 1)
}

// Kinds of answers survive until they are mapped.
func TestClient_ErrorKinds(t *testing.T) {
	_, client := newMember(t, answer(429, metav1.StatusReasonTooManyRequests, "later", "Retry-After", "3"))
	err := list(t.Context(), client)
	assert.True(t, apierrors.IsTooManyRequests(err))
	delay, ok := apierrors.SuggestsClientDelay(err)
	assert.True(t, ok)
	assert.Equal(t, 3, delay)
}

// Redirects are not followed.
func TestClient_Redirects(t *testing.T) {
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			reached := false
			elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
			defer elsewhere.Close()
			_, client := newMember(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, elsewhere.URL+"/steal?token=secret", code)
			})
			status := statusBecause(t, client.Error(list(t.Context(), client), "list"), CauseRedirect)
			assert.Contains(t, status.Message, strings.TrimPrefix(elsewhere.URL, "http://"))
			assert.NotContains(t, status.Message, "secret")
			assert.False(t, reached)
		})
	}
}

// What is not a failure of the member goes through.
func TestClient_ErrorOfTheCaller(t *testing.T) {
	_, client := newMember(t, ok)
	require.NoError(t, client.Error(list(t.Context(), client), "list"))

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the requester hung up"))
	err := list(ctx, client)
	assert.Equal(t, err, client.Error(err, "list"))
	assert.ErrorIs(t, err, context.Canceled)

	odd := statusErr(t, client.Error(errors.New("the member's answer holds no JSON Web Token"), "issue the token"))
	assert.EqualValues(t, 503, odd.Code)
	assert.Contains(t, odd.Message, "could not issue the token: the member's answer holds no JSON Web Token")
	late := statusErr(t, client.Error(fmt.Errorf("waiting: %w", context.DeadlineExceeded), "wait"))
	assert.EqualValues(t, 504, late.Code)
}

func TestClient_Credentials(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch path.Base(r.URL.Path) {
		case "selfsubjectaccessreviews":
			fmt.Fprint(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":true}}`)
		case "selfsubjectreviews":
			fmt.Fprint(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"work"}}}`)
		default:
			ok(w, r)
		}
	})
	cert, key := server.ca.issue(t, "clusterpass", time.Now().Add(time.Hour))
	secrets := memberSecret(kubeconfig(t, server.URL, server.ca.pem, func(e entries) {
		e.ClientCertificateData, e.ClientKeyData = cert, key
	}))
	client := clientOf(t, newTestPool(t, DefaultConfig(), secrets, clock.RealClock{}), profileFor(`{"name":"m"}`))

	require.NoError(t, list(t.Context(), client))
	own := server.seen()[0]
	assert.Equal(t, "Bearer hub-token", own.Header.Get("Authorization"))
	assert.Equal(t, "clusterpass-test", own.UserAgent())
	assert.Equal(t, "HTTP/2.0", own.Proto)
	require.Len(t, own.TLS.PeerCertificates, 1)
	assert.Equal(t, "clusterpass", own.TLS.PeerCertificates[0].Subject.CommonName)

	options := metav1.CreateOptions{}
	for _, token := range []string{"requester-1", "requester-2"} {
		with := client.WithToken(token)
		review, err := with.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{}, options)
		require.NoError(t, err)
		assert.True(t, review.Status.Allowed)
		who, err := with.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, options)
		require.NoError(t, err)
		assert.Equal(t, "work", who.Status.UserInfo.Username)
		requests := server.seen()
		for _, request := range requests[len(requests)-2:] {
			assert.Equal(t, []string{"Bearer " + token}, request.Header["Authorization"])
			assert.Empty(t, request.TLS.PeerCertificates, "our client certificate is not shown")
		}
	}
	assert.Equal(t, 2, server.connections(), "one connection with our credential and one without")
	assert.Equal(t, uint16(tls.VersionTLS13), own.TLS.Version)
}
