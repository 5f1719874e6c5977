// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

const stored = "update secrets clusterpass-system/kubeconfig"

// A credential is renewed when it is due.
func TestController_Sync(t *testing.T) {
	for name, test := range map[string]struct {
		before  time.Duration
		again   time.Duration
		renewed bool
	}{
		"not long before that, and it is looked at again soon":         {10 * time.Hour, recheck, false},
		"not shortly before that, and it is looked at again just then": {5 * time.Second, 5 * time.Second, false},
		"at that moment":               {0, recheck, true},
		"later":                        {-time.Hour, recheck, true},
		"when it has ended long since": {-lifetime, recheck, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.due(t)
			f.clock.SetTime(f.clock.Now().Add(-test.before))
			before := f.token(t)
			again, err := f.sync(t.Context(), f.profile)
			require.NoError(t, err)
			assert.Equal(t, test.again, again)
			if !test.renewed {
				assert.Empty(t, f.requested)
				assert.Empty(t, f.authorizations)
				assert.Empty(t, f.hub.Actions())
				assert.Equal(t, before, f.token(t))
				return
			}
			assert.Equal(t, f.tokens[len(f.tokens)-1], f.token(t))
			assert.Equal(t, []string{stored}, fakemember.Writes(f.hub.Actions()))
		})
	}
}

// What a renewal asks for and writes, for a profile that names its Secret and for one that its
// Secret names.
func TestController_Renew(t *testing.T) {
	t.Run("of a joined member", func(t *testing.T) { testRenew(t, newFixture(t)) })
	t.Run("of an adopted member", func(t *testing.T) {
		f := newFixture(t)
		f.profile.Status.AccessProviders = nil
		testRenew(t, f)
	})
}

func testRenew(t *testing.T, f *fixture) {
	t.Helper()
	f.due(t)
	old := f.token(t)
	f.work(t)
	require.Len(t, f.requested, 1)
	assert.Equal(t, authenticationv1.TokenRequestSpec{
		ExpirationSeconds: ptr.To(int64(lifetime.Seconds())),
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: member.CredentialSecret, UID: "s"},
	}, f.requested[0].Spec)
	renewed := f.token(t)
	assert.NotEqual(t, old, renewed)
	assert.Equal(t, []string{"Bearer " + renewed}, f.authorizations, "the new one is tried out, by itself")
	assert.Equal(t, []string{stored}, fakemember.Writes(f.hub.Actions()), "it is one write")
	assert.Empty(t, f.member.Calls(), "nothing else is asked of the member; the old one goes on")
	until := f.clock.Now().Add(lifetime).UTC().Format(time.RFC3339)
	told := f.told()
	assert.Equal(t, []string{"Normal CredentialRenewed The hub's credential for the member is now valid until " + until}, told)
	f.expectNoToken(t, told...)
	assert.Contains(t, f.log.String(), "Renewed the credential for a member")

	f.hub.ClearActions()
	f.work(t)
	assert.Empty(t, f.hub.Actions(), "the new one is not due")
	assert.Len(t, f.requested, 1)
}

// What is not theirs to renew is left alone.
func TestController_SyncNothingToRenew(t *testing.T) {
	changed := func(change func(*corev1.Secret)) func(*testing.T, *fixture) {
		return func(t *testing.T, f *fixture) {
			t.Helper()
			f.changeSecret(t, change)
		}
	}
	for name, change := range map[string]func(*testing.T, *fixture){
		"a profile without an access provider, and that no Secret names": func(t *testing.T, f *fixture) {
			t.Helper()
			f.profile.Status.AccessProviders = nil
			f.changeSecret(t, func(s *corev1.Secret) { s.Annotations[member.ClusterProfileAnnotation] = "default/another" })
		},
		"a profile whose Secret is missing": func(t *testing.T, f *fixture) {
			t.Helper()
			require.NoError(t, f.hub.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("secrets"), "clusterpass-system", "kubeconfig"))
		},
		"a Secret that is for another cluster": changed(func(s *corev1.Secret) {
			s.Annotations[member.ClusterProfileAnnotation] = "default/another"
		}),
		"a Secret without the label":     changed(func(s *corev1.Secret) { s.Labels = nil }),
		"a Secret that is no kubeconfig": changed(func(s *corev1.Secret) { s.Data["kubeconfig"] = []byte("{") }),
		"a token that is not bound to the Secret for it": func(t *testing.T, f *fixture) {
			t.Helper()
			f.put(t, f.sign(t, lasting(unbound, issued, time.Second)))
		},
		"a token that never ends": func(t *testing.T, f *fixture) {
			t.Helper()
			f.put(t, f.sign(t, "{"+bound+"}"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.clock.Step(lifetime)
			change(t, f)
			before := f.token(t)
			again, err := f.sync(t.Context(), f.profile)
			require.NoError(t, err)
			assert.Equal(t, recheck, again)
			assert.Equal(t, before, f.token(t))
			assert.Empty(t, f.requested)
			assert.Empty(t, f.hub.Actions())
			assert.Empty(t, f.told())
		})
	}
}

// put has somebody put a token into the Secret.
func (f *fixture) put(t *testing.T, token string) {
	t.Helper()
	f.changeSecret(t, func(s *corev1.Secret) {
		var err error
		s.Data["kubeconfig"], err = member.WithKubeconfigToken(s.Data["kubeconfig"], "", token)
		require.NoError(t, err)
	})
}

// A renewal that fails leaves the credential as it is.
func TestController_RenewFailure(t *testing.T) {
	const notRenewed, refused = "Warning CredentialNotRenewed ", "Warning CredentialRefused "
	const notAs = "the member does not accept the new credential as that of " + account
	for name, test := range map[string]struct {
		fail  func(*testing.T, *fixture)
		event string
		words string
	}{
		"the member does not take the old one": {answers(tokenPath, 401), refused,
			"the member does not accept it; it says that it ends at 2026-05-08T16:00:00Z. Put a new kubeconfig into its Secret on the hub; " +
				"or, if join has made that, run: kubectl clusterpass join bravelion --namespace=default --credential-only"},
		"of a member that was joined, with the command that mends it": {func(t *testing.T, f *fixture) {
			t.Helper()
			f.profile.Annotations = map[string]string{member.MemberUIDAnnotation: "m"}
			answers(tokenPath, 401)(t, f)
		}, refused, "Run: kubectl clusterpass join bravelion --namespace=default --credential-only"},
		"the member does not allow it":              {answers(tokenPath, 403), notRenewed, "it does not allow clusterpass (not the requester)"},
		"the account is gone":                       {answers(tokenPath, 404), notRenewed, "could not renew the credential of clusterpass"},
		"the Secret that it is bound to is another": {answers(tokenPath, 409), notRenewed, "could not renew the credential of clusterpass"},
		"the lifetime is refused":                   {answers(tokenPath, 422), notRenewed, "could not renew the credential of clusterpass"},
		"the member is broken":                      {answers(tokenPath, 500), notRenewed, "could not renew the credential of clusterpass"},
		"the member is not there": {func(_ *testing.T, f *fixture) { f.member.SetDown(true) }, notRenewed,
			"it can't be reached"},
		"the member answers without a token": {func(_ *testing.T, f *fixture) {
			f.member.Answer(tokenPath, func(w http.ResponseWriter, _ *http.Request) { f.answerToken(w, "") })
		}, notRenewed, "could not be used or renewed again"},
		"the member answers with the token of another account": {func(t *testing.T, f *fixture) {
			t.Helper()
			other := f.sign(t, lasting(strings.Replace(bound, `"name":"clusterpass",`, `"name":"admin",`, 1), issued, 3*lifetime))
			f.member.Answer(tokenPath, func(w http.ResponseWriter, _ *http.Request) { f.answerToken(w, other) })
		}, notRenewed, "it is for another ServiceAccount"},
		"the member does not take the new one": {answers(reviewPath, 401), notRenewed,
			"the member does not accept the new credential that it has issued"},
		"the member forbids to try the new one": {answers(reviewPath, 403), notRenewed, "could not authenticate the new credential"},
		"the member takes the new one for another": {func(_ *testing.T, f *fixture) { f.member.Answer(reviewPath, f.review("admin")) },
			notRenewed, notAs},
		"the member quotes the new one as who has it": {quoting, notRenewed, notAs},
		"the hub does not let it be stored": {
			hubFails(apierrors.NewForbidden(corev1.Resource("secrets"), "kubeconfig", errors.New("no"))), notRenewed,
			"the new one is not stored: secrets \"kubeconfig\" is forbidden",
		},
		"the hub is not there": {hubFails(apierrors.NewServiceUnavailable("later")), notRenewed, "the new one is not stored: later"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			before := f.token(t)
			f.due(t)
			test.fail(t, f)
			f.work(t)
			assert.Equal(t, before, f.token(t))
			assert.Equal(t, 1, f.requeues())
			told := f.told()
			require.Len(t, told, 1)
			assert.True(t, strings.HasPrefix(told[0], test.event), told[0])
			assert.Contains(t, told[0], test.words)
			assert.Less(t, len(told[0]), 1024)
			f.expectNoToken(t, told...)
		})
	}
}

// answers has the member answer requests for a path with an error that quotes all tokens.
func answers(path string, code int) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		t.Helper()
		f.member.Answer(path, func(w http.ResponseWriter, r *http.Request) {
			f.mu.Lock()
			quotes := strings.Join(f.tokens, " ")
			f.mu.Unlock()
			refuse(code, "who comes with "+quotes)(w, r)
		})
	}
}

// quoting has the member answer that whoever asks is named as the token.
func quoting(t *testing.T, f *fixture) {
	t.Helper()
	f.member.Answer(reviewPath, func(w http.ResponseWriter, r *http.Request) {
		f.review(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))(w, r)
	})
}

// hubFails has the hub refuse writes of Secrets.
func hubFails(err error) func(*testing.T, *fixture) {
	return func(t *testing.T, f *fixture) {
		t.Helper()
		f.hub.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, err })
	}
}

// A credential that somebody else has replaced is left to them.
func TestController_RenewReplaced(t *testing.T) {
	f := newFixture(t)
	f.due(t)
	theirs := f.sign(t, lasting(bound, issued, 2*lifetime))
	issue := f.issue(t)
	f.member.Answer(tokenPath, func(w http.ResponseWriter, r *http.Request) {
		f.put(t, theirs)
		issue(w, r)
	})
	f.work(t)
	assert.Equal(t, theirs, f.token(t))
	assert.Empty(t, fakemember.Writes(f.hub.Actions()))
	assert.Empty(t, f.told())
	assert.Equal(t, 0, f.requeues())
	f.expectNoToken(t)
}

// A failed renewal is tried again until it is done.
func TestController_RenewRetry(t *testing.T) {
	f := newFixture(t)
	f.due(t)
	f.member.Answer(tokenPath, refuse(http.StatusForbidden, "not yet"))
	for failure := range 3 {
		f.work(t)
		assert.Equal(t, failure+1, f.requeues())
	}
	f.member.Answer(tokenPath, f.issue(t))
	f.work(t)
	assert.Equal(t, 0, f.requeues())
	assert.Len(t, f.told(), 4)
	assert.Equal(t, f.tokens[len(f.tokens)-1], f.token(t))
}

// An end of the program is no failure.
func TestController_ContextDone(t *testing.T) {
	f := newFixture(t)
	f.due(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.member.Answer(tokenPath, func(http.ResponseWriter, *http.Request) { cancel() })
	f.queue.Add(cache.MetaObjectToName(f.profile))
	require.True(t, loop.Next(ctx, f.queue, "cluster", f.reconcile))
	assert.Empty(t, f.told())
	assert.Equal(t, 0, f.requeues())
}

func TestController_ReconcileGoneProfile(t *testing.T) {
	f := newFixture(t)
	f.due(t)
	require.NoError(t, f.Profiles.Informer().GetIndexer().Delete(f.profile))
	f.queue.AddRateLimited(cache.MetaObjectToName(f.profile))
	f.work(t)
	assert.Equal(t, 0, f.requeues())
	assert.Empty(t, f.requested)
}

// A renewed credential lives as long as the member says.
func TestController_RenewLifetime(t *testing.T) {
	f := newFixture(t)
	f.due(t)
	short := f.sign(t, lasting(bound, f.clock.Now(), time.Hour))
	f.member.Answer(tokenPath, func(w http.ResponseWriter, _ *http.Request) { f.answerToken(w, short) })
	f.work(t)
	require.Equal(t, short, f.token(t))
	again, err := f.sync(t.Context(), f.profile)
	require.NoError(t, err)
	assert.Equal(t, recheck, again)
	f.clock.Step(48 * time.Minute)
	assert.False(t, f.credential(f.profile).due(f.profile.UID).After(f.clock.Now()), "four fifths of an hour are over")
}
