// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	certutil "k8s.io/client-go/util/cert"
	clocktesting "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/multicluster/v1alpha1"
)

// The hub of these tests issues tokens for an hour, which are to be replaced after 48 minutes.
const (
	lifetime     = time.Hour
	refreshAfter = 48 * time.Minute
)

var errUnreachable = errors.New("dial tcp: connection refused")

// fakeHub mints tokens and counts them.
type fakeHub struct {
	clock *clocktesting.FakePassiveClock

	mu      sync.Mutex
	asked   int
	err     error
	timeout time.Duration
	cluster v1alpha1.Cluster
	// grant is the name of the grant of every token.
	grant string
	// found is the ClusterProfile that is found, or notFound says why there is none.
	found    v1alpha1.ClusterProfileReference
	notFound error
	// requests are those that were asked for, and searched the namespaces of searches.
	requests []Request
	searched []string
	// warnings are what users were warned of.
	warnings []string
	// minting, where not nil, is called while a token is minted.
	minting func()
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	return &fakeHub{
		clock:   clocktesting.NewFakePassiveClock(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)),
		cluster: v1alpha1.Cluster{Server: "https://bravelion.example.com:6443", CertificateAuthorityData: newAuthority(t, "bravelion")},
	}
}

func (h *fakeHub) Mint(ctx context.Context, r Request) (*v1alpha1.AuthTokenRequestStatus, error) {
	if h.minting != nil {
		h.minting()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	h.requests = append(h.requests, r)
	if deadline, bounded := ctx.Deadline(); bounded {
		h.timeout = time.Until(deadline)
	}
	if h.err != nil {
		return nil, h.err
	}
	now := h.clock.Now()
	return &v1alpha1.AuthTokenRequestStatus{
		Token:               fmt.Sprintf("token-%d-for-%s", h.asked, r.Cluster()),
		ExpirationTimestamp: &metav1.Time{Time: now.Add(lifetime)},
		RefreshAfter:        &metav1.Time{Time: now.Add(refreshAfter)},
		Cluster:             h.cluster.DeepCopy(),
		GrantName:           h.grant,
	}, nil
}

func (h *fakeHub) pass(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

func (h *fakeHub) Username(context.Context) (string, error) { return "alice", nil }

func (h *fakeHub) FindProfile(
	_ context.Context, namespace string, _ *clientauthenticationv1.Cluster,
) (v1alpha1.ClusterProfileReference, error) {
	h.searched = append(h.searched, namespace)
	return h.found, h.notFound
}

// source returns a source that asks h, keeps its tokens in dir, and is run by caller.
func (h *fakeHub) source(t *testing.T, dir string, caller int) *Source {
	t.Helper()
	opened, err := openCache(dir)
	require.NoError(t, err)
	return &Source{
		minter: h, cache: opened, hub: "hub", who: somebody("alice"), options: Options{Caller: strconv.Itoa(caller)}, clock: h.clock,
		warn: func(text string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.warnings = append(h.warnings, text)
		},
	}
}

// somebody is known to the hub.
type somebody string

func (s somebody) identity(context.Context) (id, username string, err error) {
	return string(s), string(s), nil
}

// cacheDir returns a folder that its owner alone may enter.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	return dir
}

// get returns the credential that caller gets for request.
func (h *fakeHub) get(t *testing.T, dir string, caller int) *Credential {
	t.Helper()
	got, err := h.source(t, dir, caller).Get(t.Context(), request(), nil)
	require.NoError(t, err)
	return got
}

// refusal is the answer of the hub to a user without the right.
func refusal() error {
	resource := schema.GroupResource{Group: "clusterpass.dev", Resource: "authtokenrequests"}
	return fmt.Errorf("asking the hub: %w", apierrors.NewForbidden(resource, "", errors.New("missing: bind:view")))
}

func request() Request {
	return Request{Namespace: "default", AuthTokenRequestSpec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: "bravelion"},
		ServiceAccountName:      "work",
		ServiceAccountNamespace: "default",
		ClusterRoles:            []v1alpha1.ClusterRole{{Name: "view"}},
	}}
}

// newAuthority returns a certificate of that name, in PEM.
func newAuthority(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: name}, key)
	require.NoError(t, err)
	encoded, err := certutil.EncodeCertificates(certificate)
	require.NoError(t, err)
	return encoded
}

// entries returns the files of a cache that hold tokens.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+entrySuffix))
	require.NoError(t, err)
	return files
}
