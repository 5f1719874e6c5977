// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package credential

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// server is a hub by HTTP that knows its users by their tokens: PERSON, or PERSON.NUMBER.
type server struct {
	*httptest.Server

	mu sync.Mutex
	// review is what a SelfSubjectReview answers, if not who the user is.
	review         int
	reviewed, made int
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+reviewPath, s.answerReview)
	mux.HandleFunc("POST /apis/clusterpass.dev/v1alpha1/namespaces/default/authtokenrequests", func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.made++
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(strings.ReplaceAll(answered, "2026-11", "2126-11")))
	})
	s.Server = httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	return s
}

func (s *server) answerReview(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reviewed++
	w.Header().Set("Content-Type", "application/json")
	if s.review != 0 {
		w.WriteHeader(s.review)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(s.review),
			Reason: map[int]metav1.StatusReason{404: metav1.StatusReasonNotFound, 403: metav1.StatusReasonForbidden,
				401: metav1.StatusReasonUnauthorized}[s.review],
		})
		return
	}
	bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	name, _, _ := strings.Cut(bearer, ".")
	_ = json.NewEncoder(w).Encode(authenticationv1.SelfSubjectReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "SelfSubjectReview"},
		Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: authenticationv1.UserInfo{
			Username: name, Extra: map[string]authenticationv1.ExtraValue{"authentication.kubernetes.io/credential-id": {bearer}},
		}},
	})
}

func (s *server) mints() int   { s.mu.Lock(); defer s.mu.Unlock(); return s.made }
func (s *server) reviews() int { s.mu.Lock(); defer s.mu.Unlock(); return s.reviewed }

// source returns a source for the user of a token, and what it warns of.
func (s *server) source(t *testing.T, options Options, token string) (*Source, *bytes.Buffer) {
	t.Helper()
	var warnings bytes.Buffer
	config := configFor(s.Server, token)
	config.WarningHandler = rest.NewWarningWriter(&warnings, rest.WarningWriterOptions{})
	source, err := NewSource(config, options)
	require.NoError(t, err)
	return source, &warnings
}

// A token is for whom the hub knows, whatever the login.
func TestSource_GetOfOtherLogins(t *testing.T) {
	steps := []struct {
		name   string
		token  string
		review int
		down   bool
		// mints and reviews are how many there are in all afterwards; an error is wanted that says want.
		mints, reviews int
		want           string
	}{
		{name: "the first time the hub is asked who it is", token: "alice.1", mints: 1, reviews: 1},
		{name: "an unchanged credential needs no call", token: "alice.1", mints: 1, reviews: 1},
		{name: "a new credential of the same person takes one review", token: "alice.2", mints: 1, reviews: 2},
		{name: "another person gets a token of their own", token: "bob.1", mints: 2, reviews: 3},
		{name: "both are remembered", token: "alice.1", mints: 2, reviews: 3},
		{name: "where reviews are not served a credential is a person", token: "alice.3", review: http.StatusNotFound, mints: 3, reviews: 4},
		{name: "which is remembered, too", token: "alice.3", review: http.StatusNotFound, mints: 3, reviews: 4},
		{name: "where reviews are forbidden, too", token: "alice.4", review: http.StatusForbidden, mints: 4, reviews: 5},
		{name: "a login that the hub does not accept gets nothing",
			token: "alice.5", review: http.StatusUnauthorized, mints: 4, reviews: 6, want: "does not accept your login"},
		{name: "a hub that is down is not asked about a credential that is known", token: "alice.2", down: true, mints: 4, reviews: 6},
		{name: "while it is down a new credential gets nothing", token: "bob.2", down: true, mints: 4, reviews: 6, want: "is new or has changed"},
	}
	hub, dir := newServer(t), filepath.Join(t.TempDir(), "tokens")
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			hub.mu.Lock()
			hub.review = step.review
			hub.mu.Unlock()
			if step.down {
				hub.Close()
			}
			source, _ := hub.source(t, Options{CacheDir: dir}, step.token)
			got, err := source.Get(t.Context(), request(), nil)
			assert.Equal(t, step.mints, hub.mints(), "tokens")
			assert.Equal(t, step.reviews, hub.reviews(), "reviews")
			if step.want != "" {
				require.ErrorContains(t, err, step.want)
				assert.ErrorContains(t, err, "no cached token of cluster default/bravelion is used")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, secretToken, got.Token)
		})
	}
	content, err := os.ReadFile(filepath.Join(dir, loginsName))
	require.NoError(t, err)
	assert.NotContains(t, string(content), "alice.1")
	info, err := os.Stat(filepath.Join(dir, loginsName))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestHub_Credential(t *testing.T) {
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	login := func(person string) *clientcmdapi.ExecConfig {
		return &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "sh", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
			Args: []string{"-c",
				fmt.Sprintf(`echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":%q}}'`, person)},
		}
	}
	server := newServer(t)
	tests := map[string]func(*rest.Config){
		"no login":              func(*rest.Config) {},
		"a token":               func(c *rest.Config) { c.BearerToken = "alice" },
		"another token":         func(c *rest.Config) { c.BearerToken = "bob" },
		"a token in a file":     func(c *rest.Config) { c.BearerTokenFile = file("carol") },
		"a plugin":              func(c *rest.Config) { c.ExecProvider = login("dave") },
		"a plugin of another":   func(c *rest.Config) { c.ExecProvider = login("erin") },
		"a name and a password": func(c *rest.Config) { c.Username, c.Password = "alice", "secret" },
		"another password":      func(c *rest.Config) { c.Username, c.Password = "alice", "other" },
		"impersonation":         func(c *rest.Config) { c.BearerToken, c.Impersonate.UserName = "alice", "bob" },
		"impersonation of groups": func(c *rest.Config) {
			c.BearerToken, c.Impersonate.UserName, c.Impersonate.Groups = "alice", "bob", []string{"admins"}
		},
	}
	seen := map[string]string{}
	for name, change := range tests {
		config := configFor(server.Server, "")
		change(config)
		hub, err := NewHub(config)
		require.NoError(t, err)
		sent, err := hub.credential(t.Context())
		require.NoError(t, err, name)
		assert.Empty(t, seen[string(sent)], "%s is no other credential", name)
		seen[string(sent)] = name
		again, err := hub.credential(t.Context())
		require.NoError(t, err)
		assert.Equal(t, sent, again, name)
	}
	assert.Zero(t, server.reviews())
}
