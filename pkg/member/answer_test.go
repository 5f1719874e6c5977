// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/semaphore"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"clusterpass.dev/test/answers"
)

func TestClient_BoundsAnswers(t *testing.T) {
	getRole := func(ctx context.Context, c *Client) error {
		_, err := c.Kubernetes().RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
		return err
	}
	getToken := func(ctx context.Context, c *Client) error {
		_, err := c.Kubernetes().CoreV1().ServiceAccounts("default").CreateToken(ctx, "work", &authenticationv1.TokenRequest{},
			metav1.CreateOptions{})
		return err
	}
	readyz := func(ctx context.Context, c *Client) error {
		return c.Kubernetes().Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}
	page := func(ctx context.Context, c *Client) error {
		return c.Kubernetes().CoreV1().RESTClient().Get().Resource("pods").Param("limit", "500").Do(ctx).Error()
	}
	many := &rbacv1.ClusterRole{
		TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole"}, Rules: make([]rbacv1.PolicyRule, 50_001),
	}
	const large = "its answer has more than 1572864 bytes"
	inJSON := func(body string) http.HandlerFunc { return answers.Send(runtime.ContentTypeJSON, []byte(body)) }
	bomb := answers.Send(runtime.ContentTypeJSON, answers.Gzip(t, make([]byte, 32<<20)), "Content-Encoding", "gzip")
	empty := strings.Repeat("{},", 50_001)
	for name, test := range map[string]struct {
		call   func(context.Context, *Client) error
		answer http.HandlerFunc
		words  string
	}{
		"an object without end":         {getRole, answers.Endless, large},
		"a token without end":           {getToken, answers.Endless, "its answer has more than 393216 bytes"},
		"a readyz without end":          {readyz, answers.Endless, "its answer has more than 65536 bytes"},
		"a page without end":            {page, answers.Endless, "its answer has more than 8388608 bytes"},
		"an object that says how large": {getRole, answers.Send(runtime.ContentTypeProtobuf, make([]byte, maxObject+1)), large},
		"a gzip bomb":                   {getRole, bomb, large},
		"many empty rules": {getRole, answers.Send(runtime.ContentTypeProtobuf, answers.Protobuf(t, many)),
			"more than 50000 fields"},
		"many empty rules in JSON": {getRole, inJSON(`{"rules":[` + empty + `{}]}`), "more than 50000 entries"},
		"many managed fields":      {getRole, inJSON(`{"metadata":{"managedFields":[` + empty + `{}]}}`), "more than 50000 entries"},
		"YAML": {getRole, answers.Send(runtime.ContentTypeYAML, []byte("a: &a [b]\nc: [*a, *a]")),
			"it answers in application/yaml, which was not asked for"},
		"CBOR": {getRole, answers.Send(runtime.ContentTypeCBOR, []byte{0xd9, 0xd9, 0xf7}),
			"it answers in application/cbor, which was not asked for"},
		"a page of YAML": {page, answers.Send(runtime.ContentTypeYAML, []byte("a: b")),
			"it answers in application/yaml, which was not asked for"},
		"a header of a megabyte": {getRole, answers.Send(runtime.ContentTypeJSON, []byte("{}"), "A", strings.Repeat("a", 1<<20)),
			"it can't be reached"},
		"informational answers in a flood": {getRole, hints, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, client := newMember(t, test.answer)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			status := statusErr(t, client.Error(test.call(ctx, client), "ask"))
			require.NoError(t, ctx.Err(), "it ends by itself")
			assert.Contains(t, []int32{http.StatusServiceUnavailable, http.StatusGatewayTimeout}, status.Code)
			assert.Contains(t, status.Message, test.words)
			assert.Less(t, len(status.Message), 2048)
			assert.Empty(t, client.gate.slots, "its slot is given back")
			assert.True(t, client.held.all.TryAcquire(maxHeld), "nothing is held")
		})
	}
}

func TestClient_BreakerOfTooLargeAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		path  string
		opens bool
	}{
		"what nobody chooses": {path: "/api/v1/namespaces/kube-system", opens: true},
		"checks":              {path: "/readyz", opens: true},
		"an object that a requester has named may be large": {path: "/apis/rbac.authorization.k8s.io/v1/clusterroles/large"},
		"a page may have many large objects":                {path: "/api/v1/namespaces?limit=500"},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newMember(t, answers.Endless)
			ask := func() error {
				err := client.Kubernetes().Discovery().RESTClient().Get().RequestURI(test.path).Do(t.Context()).Error()
				return client.Error(err, "ask")
			}
			for range DefaultConfig().Limits.Breaker.Failures {
				statusBecause(t, ask(), CauseAnswer)
			}
			seen := len(server.seen())
			if !test.opens {
				statusBecause(t, ask(), CauseAnswer)
				return
			}
			status := statusBecause(t, ask(), CauseBreakerOpen)
			assert.Contains(t, status.Message, "5 calls in a row failed, the last one with: its answer has more than")
			assert.Len(t, server.seen(), seen, "it is not contacted")
		})
	}
}

// An answer with a token is within its bound, whatever audiences it is for.
func TestClient_AnswerWithLargestAudiences(t *testing.T) {
	audiences := make([]string, 20)
	for i := range audiences {
		audiences[i] = strings.Repeat("<", 1024)
	}
	claims, err := json.Marshal(map[string]any{"aud": audiences})
	require.NoError(t, err)
	body, err := json.Marshal(&authenticationv1.TokenRequest{
		Spec:   authenticationv1.TokenRequestSpec{Audiences: audiences},
		Status: authenticationv1.TokenRequestStatus{Token: "e30." + base64.RawURLEncoding.EncodeToString(claims) + ".e30"},
	})
	require.NoError(t, err)
	assert.Greater(t, len(body), maxTokenAnswer/2)
	_, client := newMember(t, answers.Send(runtime.ContentTypeJSON, body))
	_, err = client.Kubernetes().CoreV1().ServiceAccounts("default").
		CreateToken(t.Context(), "work", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
}

func TestClient_BoundsUnread(t *testing.T) {
	var sent atomic.Int64
	_, client := newMember(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		for chunk := make([]byte, 64<<10); ; sent.Add(int64(len(chunk))) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	require.NoError(t, client.held.all.Acquire(t.Context(), maxHeld))
	_, err := client.Kubernetes().RbacV1().ClusterRoles().Get(t.Context(), "view", metav1.GetOptions{})
	assert.Contains(t, statusErr(t, client.Error(err, "ask")).Message, "answers of members already take 32 MiB",
		"reading has stopped after its beginning")
	assert.LessOrEqual(t, sent.Load(), int64(maxShort+maxUnread), "and so has sending")
	assert.Greater(t, sent.Load(), int64(maxShort))
}

// hints sends informational answers, as many as are taken.
func hints(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Link", strings.Repeat("a", 1<<10))
	for range 100_000 {
		w.WriteHeader(http.StatusEarlyHints)
	}
	_, _ = fmt.Fprint(w, "{}")
}

// A refusal without end keeps its code.
func TestClient_EndlessRefusal(t *testing.T) {
	_, client := newMember(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		answers.Endless(w, r)
	})
	assert.True(t, apierrors.IsForbidden(list(t.Context(), client)))
}

// What is held of all members is bounded.
func TestPool_HeldBytes(t *testing.T) {
	secret := answers.Protobuf(t, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		Data:     map[string][]byte{"a": make([]byte, 200<<10)},
	})
	half := make(chan struct{})
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		if strings.HasSuffix(r.URL.Path, "/slow") {
			_, _ = w.Write(secret[:150<<10])
			w.(http.Flusher).Flush()
			close(half)
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(secret)
	})
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), nil)
	pool.held = semaphore.NewWeighted(heldStep)
	client := clientOf(t, pool, profileFor(`{"name":"m"}`))
	get := func(ctx context.Context, name string) error {
		_, err := client.Kubernetes().CoreV1().Secrets("default").Get(ctx, name, metav1.GetOptions{})
		return err
	}

	for range 10 {
		require.NoError(t, get(t.Context(), "fast"), "what was held is given back")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- get(ctx, "slow") }()
	<-half
	require.Eventually(t, func() bool {
		taken := client.held.all.TryAcquire(1)
		if taken {
			client.held.all.Release(1)
		}
		return !taken
	}, time.Minute, time.Millisecond)
	status := statusBecause(t, client.Error(get(t.Context(), "fast"), "ask"), CauseBusy)
	assert.EqualValues(t, 1, status.Details.RetryAfterSeconds)
	cancel()
	require.Error(t, <-ended)
	require.NoError(t, get(t.Context(), "fast"))
}

// What is held of one member is bounded.
func TestPool_HeldBytesOfOneMember(t *testing.T) {
	secret := answers.Protobuf(t, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Data: map[string][]byte{"a": make([]byte, 200<<10)},
	})
	server := newMemberServer(t, time.Now().Add(time.Hour), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeProtobuf)
		_, _ = w.Write(secret)
	})
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), nil)
	greedy := clientOf(t, pool, profileFor(`{"name":"m"}`))
	modest := clientOf(t, pool, uid(profileFor(`{"name":"m"}`), "another"))
	get := func(client *Client) error {
		_, err := client.Kubernetes().CoreV1().Secrets("default").Get(t.Context(), "a", metav1.GetOptions{})
		return err
	}

	require.NoError(t, greedy.held.acquire(t.Context(), maxHeldOfOne))
	status := statusBecause(t, greedy.Error(get(greedy), "ask"), CauseBusy)
	assert.Contains(t, status.Message, "its other answers already take 8 MiB")
	require.NoError(t, get(modest), "the answers of one member leave room for those of others")
	greedy.held.release(maxHeldOfOne)
	require.NoError(t, get(greedy))
	assert.True(t, modest.held.all.TryAcquire(maxHeld), "nothing is held")
}
