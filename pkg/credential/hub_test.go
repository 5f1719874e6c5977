// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

const (
	secretToken = "header.claims.signature-that-is-secret"

	answerType = `{"apiVersion":"clusterpass.dev/v1alpha1","kind":"AuthTokenRequest"`
	withToken  = answerType + `,"status":{"token":"` + secretToken + `"`
	answered   = withToken + `,"expirationTimestamp":"2026-11-23T13:00:00Z","refreshAfter":"2026-11-23T12:48:00Z",` +
		`"cluster":{"server":"https://bravelion.example.com"}}}`
	forbidden = `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"`
)

// serve runs a hub that gives one answer, and returns a client for it and the last request.
func serve(t *testing.T, code int, answer string) (*Hub, *http.Request, *v1alpha1.AuthTokenRequest) {
	t.Helper()
	var asked http.Request
	var body v1alpha1.AuthTokenRequest
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = *r.Clone(r.Context())
		content, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(content, &body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	hub, err := NewHub(configFor(server, "alice"))
	require.NoError(t, err)
	return hub, &asked, &body
}

// configFor returns the configuration of a client for a server, with a token.
func configFor(server *httptest.Server, token string) *rest.Config {
	return &rest.Config{Host: server.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
	}}
}

// The hub is asked in our own group.
func TestHub_Mint(t *testing.T) {
	hub, asked, body := serve(t, http.StatusCreated, answered)
	r := request()
	r.Namespace, r.TargetClusterProfile.Namespace = "team", "fleet"
	r.Annotations = map[string]string{"example.com/ticket": "OPS-1234"}
	status, err := hub.Mint(t.Context(), r)
	require.NoError(t, err)
	assert.Equal(t, secretToken, status.Token)
	assert.Equal(t, http.MethodPost, asked.Method)
	assert.Equal(t, "/apis/clusterpass.dev/v1alpha1/namespaces/team/authtokenrequests", asked.URL.Path)
	assert.Equal(t, "clusterpass.dev/v1alpha1", body.APIVersion)
	assert.Equal(t, "AuthTokenRequest", body.Kind)
	assert.Equal(t, r.AuthTokenRequestSpec, body.Spec)
	assert.Equal(t, "bravelion", body.Name, "a policy's refusal calls it Unknown")
	assert.Equal(t, r.Annotations, body.Annotations)
}

func TestHub_MintFailures(t *testing.T) {
	for name, test := range map[string]struct {
		code   int
		answer string
		want   string
	}{
		"a refusal keeps the hub's words": {http.StatusForbidden, forbidden + `missing: bind:view"}`, "missing: bind:view"},
		"no token":                        {http.StatusCreated, answerType + `}`, "without a token"},
		"a token that says no time":       {http.StatusCreated, withToken + `}}`, "without a token"},
		"half an answer":                  {http.StatusCreated, answered[:len(answered)-2], "something other"},
		"times that are none":             {http.StatusCreated, withToken + `,"refreshAfter":"` + secretToken + `"}}`, "something other"},
		"another kind": {http.StatusCreated, `{"apiVersion":"v1","kind":"Secret","data":{"token":"` + secretToken + `"}}`,
			"something other"},
		"no JSON": {http.StatusCreated, secretToken, "something other"},
	} {
		t.Run(name, func(t *testing.T) {
			hub, _, _ := serve(t, test.code, test.answer)
			_, err := hub.Mint(t.Context(), request())
			require.ErrorContains(t, err, test.want)
			assert.ErrorContains(t, err, hub.config.Host)
			assert.ErrorContains(t, err, "default/bravelion")
			assert.NotContains(t, err.Error(), "secret")
			assert.Equal(t, test.code == http.StatusForbidden, refused(err))
		})
	}
}

func TestHub_MintEndlessAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		code  int
		begin string
		limit int
	}{
		"an answer":       {http.StatusCreated, answered[:len(answered)-3] + `,"x":"`, maxAnswer},
		"what is no JSON": {http.StatusCreated, "", maxAnswer},
		"a refusal":       {http.StatusForbidden, forbidden, maxRefusal},
		"a failure":       {http.StatusBadGateway, "", maxRefusal},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.code)
				_, err := io.WriteString(w, test.begin)
				for chunk := bytes.Repeat([]byte("a"), 64<<10); err == nil; {
					_, err = w.Write(chunk)
				}
			}))
			t.Cleanup(server.Close)
			hub, err := NewHub(configFor(server, ""))
			require.NoError(t, err)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = hub.Mint(t.Context(), request())
			runtime.ReadMemStats(&after)
			require.Error(t, err)
			assert.Less(t, len(err.Error()), 8<<10, "what is cut is quoted no further")
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32*test.limit))
		})
	}
}

// No token is logged at any verbosity.
func TestHub_MintLogsNoToken(t *testing.T) {
	for _, verbosity := range []int{0, 7, 8, 10} {
		hub, _, _ := serve(t, http.StatusCreated, answered)
		var log bytes.Buffer
		ctx := klog.NewContext(t.Context(), textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&log), textlogger.Verbosity(verbosity))))
		_, err := hub.Mint(ctx, request())
		require.NoError(t, err)
		assert.NotContains(t, log.String(), secretToken)
		assert.NotContains(t, log.String(), "Body")
	}
}

func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"forbidden":        {apierrors.NewForbidden(v1alpha1.Resource("authtokenrequests"), "", nil), true},
		"unauthorised":     {apierrors.NewUnauthorized(""), true},
		"conflict":         {apierrors.NewConflict(v1alpha1.Resource("authtokenrequests"), "", nil), true},
		"not reached":      {errUnreachable, false},
		"internal error":   {apierrors.NewInternalError(errUnreachable), false},
		"too many":         {apierrors.NewTooManyRequests("", 1), false},
		"request time out": {apierrors.NewGenericServerResponse(http.StatusRequestTimeout, "", v1alpha1.Resource(""), "", "", 0, false), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, refused(test.err)) })
	}
}
