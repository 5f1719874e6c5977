// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

var (
	accounts = corev1.SchemeGroupVersion.WithResource("serviceaccounts")
	secrets  = corev1.SchemeGroupVersion.WithResource("secrets")
)

// cluster is a member that issues tokens.
type cluster struct {
	*fakemember.Member
	tokens atomic.Int32
}

// newCluster returns a member whose namespace kube-system has that UID; empty: it does not say.
func newCluster(t *testing.T, uid types.UID) *cluster {
	t.Helper()
	var objects []runtime.Object
	if uid != "" {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: uid}})
	}
	c := &cluster{Member: fakemember.New(t, clock.RealClock{}, objects...)}
	spec := validRequest().Spec
	namespace, name := spec.ServiceAccountNamespace, spec.ServiceAccountName
	path := fmt.Sprintf("/api/v1/namespaces/%s/serviceaccounts/%s/token", namespace, name)
	c.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		account, err := c.Tracker().Get(accounts, namespace, name)
		secret, secretErr := c.Tracker().Get(secrets, namespace, grant.SecretName(grantUID))
		if err != nil || secretErr != nil {
			w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(w).Encode(apierrors.NewNotFound(accounts.GroupResource(), name).ErrStatus)
			return
		}
		c.tokens.Add(1)
		encode, now := base64.RawURLEncoding.EncodeToString, time.Now()
		claims := fmt.Sprintf(
			`{"iat":%d,"exp":%d,"kubernetes.io":{"namespace":%q,"serviceaccount":{"name":%q,"uid":%q},"secret":{"name":%q,"uid":%q}}}`,
			now.Unix(), now.Add(time.Hour).Unix(), namespace, name, account.(*corev1.ServiceAccount).UID,
			grant.SecretName(grantUID), secret.(*corev1.Secret).UID)
		_ = json.NewEncoder(w).Encode(authenticationv1.TokenRequest{
			TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenRequest"},
			Status: authenticationv1.TokenRequestStatus{
				Token:               encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature")),
				ExpirationTimestamp: metav1.NewTime(now.Add(time.Hour)),
			},
		})
	})
	return c
}

// redirected are Members that lead to one cluster whatever the profile.
type redirected struct{ *cluster }

// identityFixture is a hub with one ClusterProfile, whose status somebody may edit.
type identityFixture struct {
	*Minter
	hub     *laggingHub
	grants  *keptGrants
	members *redirected
}

// grantUID is that of the one grant of keptGrants.
const grantUID types.UID = "grant-1"

func newIdentityFixture(to *cluster) *identityFixture {
	profile := to.Profile()
	f := &identityFixture{hub: &laggingHub{cached: profile, stored: profile}, grants: &keptGrants{}, members: &redirected{to}}
	f.Minter = newMinter(f.hub, f.members, f.grants)
	return f
}

// newMinter returns a Minter by whose authoriser everybody is entitled to everything.
func newMinter(profiles Profiles, members Members, grants Grants) *Minter {
	return New(Config{
		HubID: "hub", Profiles: profiles, Members: members, Grants: grants, Authorizer: authorizerfactory.NewAlwaysAllowAuthorizer(),
		MaxGrants: 10, MaxExpiration: time.Hour, RequestTimeout: time.Minute, Clock: clock.RealClock{},
	})
}

func (f *identityFixture) mint(ctx context.Context, change func(*Request)) error {
	r := requestOf("jane")
	r.Spec.ClusterRoles, r.Spec.Roles = nil, nil
	if change != nil {
		change(&r)
	}
	_, err := f.Mint(ctx, r)
	return err
}

func TestMinter_MintOnAnotherCluster(t *testing.T) {
	for name, test := range map[string]struct {
		// cold forgets what was verified, as a server that was started since has.
		cold    bool
		request func(*Request)
		// words of the refusal; none: it is answered, without a word to the member.
		words string
	}{
		"a token that was asked for before":          {words: "the UID of its namespace kube-system is b, and that of the grant's cluster is a"},
		"a token, by a server that was just started": {cold: true, words: "leads to another cluster than the one that has the grant"},
		"other rights": {words: "leads to another cluster", request: viewing},
		"a dry run":    {request: func(r *Request) { r.DryRun = true }},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newCluster(t, "a"), newCluster(t, "b")
			f := newIdentityFixture(a)
			require.NoError(t, f.mint(t.Context(), nil))
			require.Equal(t, types.UID("a"), f.grants.grant.Status.MemberUID)
			before, objects := f.grants.grant.DeepCopy(), a.Objects(t)

			f.members.cluster = b
			if test.cold {
				f.verified.RemoveAll(func(any) bool { return true })
			}
			err := f.mint(t.Context(), test.request)
			assert.Empty(t, b.Writes(), "nothing is made or removed there")
			assert.Zero(t, b.tokens.Load())
			assert.Equal(t, before, f.grants.grant)
			assert.Equal(t, objects, a.Objects(t))
			if test.words == "" {
				require.NoError(t, err)
				assert.Empty(t, b.Calls())
				return
			}
			require.ErrorContains(t, err, test.words)
			assert.True(t, apierrors.IsConflict(err), "%v", err)
			assert.True(t, apierrors.HasStatusCause(err, member.CauseIdentity))

			f.members.cluster = a
			require.NoError(t, f.mint(t.Context(), test.request), "it leads to the grant's cluster again")
		})
	}
}

// The cluster is noted before anything is made.
func TestMinter_MintNotesCluster(t *testing.T) {
	a := newCluster(t, "a")
	f := newIdentityFixture(a)
	require.NoError(t, f.mint(t.Context(), nil))
	assert.Equal(t, "get namespaces /kube-system", a.Calls()[0])
	for range 3 {
		a.ClearActions()
		require.NoError(t, f.mint(t.Context(), nil))
		assert.Empty(t, a.Calls(), "a warm mint is the TokenRequest alone")
	}
	assert.EqualValues(t, 4, a.tokens.Load())
	f.verified.RemoveAll(func(any) bool { return true })
	require.NoError(t, f.mint(t.Context(), nil))
	assert.NotContains(t, a.Calls(), "get namespaces /kube-system", "it is asked once for each client")
}

func TestMinter_MintCancelled(t *testing.T) {
	a := newCluster(t, "a")
	f := newIdentityFixture(a)
	ctx, cancel := context.WithCancel(t.Context())
	a.Answer("/api/v1/namespaces/kube-system", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	require.ErrorIs(t, f.mint(ctx, nil), context.Canceled)
	assert.Nil(t, f.grants.grant)
	assert.Empty(t, a.Writes())
}

// The ClusterProfile says which cluster it is for.
func TestMinter_MintAnnotatedProfile(t *testing.T) {
	for name, test := range map[string]struct {
		says, is types.UID
		words    string
	}{
		"the cluster that it leads to": {says: "a", is: "a"},
		"another cluster": {says: "a", is: "b",
			words: "clusterpass.dev/member-uid says: the UID of the namespace kube-system there is b, and not a"},
		"a cluster, and leads to who won't tell": {says: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, test.is)
			f := newIdentityFixture(c)
			f.hub.cached.Annotations = map[string]string{member.MemberUIDAnnotation: string(test.says)}
			err := f.mint(t.Context(), nil)
			if test.words == "" {
				require.NoError(t, err)
				assert.Equal(t, test.is, f.grants.grant.Status.MemberUID)
				return
			}
			require.ErrorContains(t, err, test.words)
			assert.Nil(t, f.grants.grant)
			assert.Empty(t, c.Writes())
		})
	}
}

// TestMinter_MintGrantWithoutCluster is about grants of earlier releases, and of members that did
// not tell.
func TestMinter_MintGrantWithoutCluster(t *testing.T) {
	for name, test := range map[string]struct {
		// before is done after the grant was made on a cluster that did not tell, before that tells.
		before func(t *testing.T, f *identityFixture, c *cluster)
		want   types.UID
	}{
		"it is noted where the grant is found": {before: func(*testing.T, *identityFixture, *cluster) {}, want: "a"},
		"it is noted where the grant never came about": {before: func(_ *testing.T, f *identityFixture, _ *cluster) {
			f.grants.grant.Status.ObservedGeneration = 0
		}, want: "a"},
		"it is not noted where the grant may be elsewhere": {before: lose},
		"it is noted where the profile says the same": {before: func(t *testing.T, f *identityFixture, c *cluster) {
			t.Helper()
			lose(t, f, c)
			f.hub.cached.Annotations = map[string]string{member.MemberUIDAnnotation: "a"}
		}, want: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "a")
			f := newIdentityFixture(c)
			require.NoError(t, f.mint(t.Context(), nil))
			f.grants.grant.Status.MemberUID = ""
			f.verified.RemoveAll(func(any) bool { return true })
			test.before(t, f, c)
			require.NoError(t, f.mint(t.Context(), nil))
			assert.Equal(t, test.want, f.grants.grant.Status.MemberUID)
		})
	}
}

// lose has the member lose the ServiceAccount.
func lose(t *testing.T, _ *identityFixture, c *cluster) {
	t.Helper()
	spec := validRequest().Spec
	require.NoError(t, c.Tracker().Delete(accounts, spec.ServiceAccountNamespace, spec.ServiceAccountName))
}
