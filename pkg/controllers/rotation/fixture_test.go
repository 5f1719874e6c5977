// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
	inventoryinformers "sigs.k8s.io/cluster-inventory-api/client/informers/externalversions"

	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/fakemember"
)

const (
	lifetime   = 100 * time.Hour
	tokenPath  = "/api/v1/namespaces/clusterpass-system/serviceaccounts/clusterpass/token"
	reviewPath = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	account    = "system:serviceaccount:clusterpass-system:clusterpass"
)

// fixture is a Controller for one profile, whose informers do not run: the test says what they have
// seen. The member answers each request for a token with a new one, and takes that.
type fixture struct {
	*Controller
	member  *fakemember.Member
	hub     *fake.Clientset
	clock   *testingclock.FakeClock
	events  *events.FakeRecorder
	profile *inventoryv1alpha1.ClusterProfile
	log     bytes.Buffer

	mu sync.Mutex
	// requested are the requests for tokens, and authorizations what came with reviews.
	requested      []authenticationv1.TokenRequest
	authorizations []string
	// tokens are all that there have been.
	tokens []string
}

// newFixture returns a Controller whose hub has a credential that was issued at the time issued.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{clock: testingclock.NewFakeClock(issued), events: events.NewFakeRecorder(100)}
	f.hub, _ = hubWith(t, f.sign(t, lasting(bound, issued, lifetime)))
	f.member = fakemember.New(t, f.clock)
	f.profile = f.member.Profile()
	f.member.Answer(tokenPath, f.issue(t))
	f.member.Answer(reviewPath, f.review(account))
	var err error
	f.Controller, err = New(Options{
		Hub: f.hub, Access: member.DefaultConfig(), Secrets: secretsOf{f.hub},
		Profiles: inventoryinformers.NewSharedInformerFactory(inventory.NewSimpleClientset(), 0).Apis().V1alpha1().ClusterProfiles(),
		Members:  f.member, Recorder: f.events, Lifetime: lifetime, Workers: 1, Clock: f.clock,
	})
	require.NoError(t, err)
	t.Cleanup(f.queue.ShutDown)
	require.NoError(t, f.Profiles.Informer().GetIndexer().Add(f.profile))
	return f
}

// sign returns a token with claims, and notes it.
func (f *fixture) sign(t *testing.T, claims string) string {
	t.Helper()
	token := signed(t, claims)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = append(f.tokens, token)
	return token
}

// secretsOf are the Secrets of a hub as it has them.
type secretsOf struct{ *fake.Clientset }

// Get implements member.Secrets.
func (s secretsOf) Get(namespace, name string) (*corev1.Secret, error) {
	found, err := s.Tracker().Get(corev1.SchemeGroupVersion.WithResource("secrets"), namespace, name)
	if err != nil {
		return nil, err
	}
	return found.(*corev1.Secret), nil
}

// Of implements member.Secrets.
func (s secretsOf) Of(namespace, name string) ([]*corev1.Secret, error) {
	secret, err := s.Get("clusterpass-system", "kubeconfig")
	if err != nil || !member.IsSecretOf(secret, namespace, name) {
		return nil, nil
	}
	return []*corev1.Secret{secret}, nil
}

// issue answers with tokens that begin now.
func (f *fixture) issue(t *testing.T) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		object, err := runtime.Decode(scheme.Codecs.UniversalDeserializer(), body)
		assert.NoError(t, err)
		f.mu.Lock()
		f.requested = append(f.requested, *object.(*authenticationv1.TokenRequest))
		f.mu.Unlock()
		f.answerToken(w, f.sign(t, lasting(bound, f.clock.Now(), lifetime)))
	}
}

func (*fixture) answerToken(w http.ResponseWriter, token string) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	_, _ = fmt.Fprintf(w, `{"kind":"TokenRequest","apiVersion":"authentication.k8s.io/v1","status":{"token":%q}}`, token)
}

// review answers that whoever asks is a user.
func (f *fixture) review(user string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.authorizations = append(f.authorizations, r.Header.Get("Authorization"))
		f.mu.Unlock()
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":%q}}}`, user)
	}
}

// refuse answers with the Status of a code, whose message may be one that quotes.
func refuse(code int, message string) http.HandlerFunc {
	reason := apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", "", 0, false).ErrStatus.Reason
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", runtime.ContentTypeJSON)
		w.WriteHeader(code)
		_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"reason":%q,"message":%q}`, code, reason, message)
	}
}

// due lets the clock run until the credential is to be renewed.
func (f *fixture) due(t *testing.T) {
	t.Helper()
	own := f.credential(f.profile)
	require.NotNil(t, own)
	f.clock.SetTime(own.due(f.profile.UID))
}

// work has a worker look at the profile once, and logs all that it would ever.
func (f *fixture) work(t *testing.T) {
	t.Helper()
	logger := textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(&f.log), textlogger.Verbosity(10)))
	f.queue.Add(cache.MetaObjectToName(f.profile))
	require.True(t, loop.Next(member.Quiet(klog.NewContext(t.Context(), logger)), f.queue, "cluster", f.reconcile))
}

// token returns the token that the hub has.
func (f *fixture) token(t *testing.T) string {
	t.Helper()
	return tokenAt(t, f.hub)
}

// tokenAt returns the token that a hub has.
func tokenAt(t *testing.T, hub *fake.Clientset) string {
	t.Helper()
	secret, err := secretsOf{hub}.Get("clusterpass-system", "kubeconfig")
	if apierrors.IsNotFound(err) {
		return ""
	}
	require.NoError(t, err)
	assert.Equal(t, "kept", string(secret.Data["note"]))
	return member.KubeconfigToken(secret.Data["kubeconfig"], "")
}

// changeSecret has somebody change the Secret on the hub.
func (f *fixture) changeSecret(t *testing.T, change func(*corev1.Secret)) {
	t.Helper()
	secret, err := secretsOf{f.hub}.Get("clusterpass-system", "kubeconfig")
	require.NoError(t, err)
	secret = secret.DeepCopy()
	change(secret)
	require.NoError(t, f.hub.Tracker().Update(corev1.SchemeGroupVersion.WithResource("secrets"), secret, secret.Namespace))
}

// told returns the events since it was last called.
func (f *fixture) told() []string { return fakemember.Events(f.events) }

func (f *fixture) requeues() int { return f.queue.NumRequeues(cache.MetaObjectToName(f.profile)) }

// expectNoToken fails where there is a token, or the part of one that has what it says, in any of
// texts or in the log.
func (f *fixture) expectNoToken(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range append(slices.Clone(texts), f.log.String()) {
		for _, token := range append(slices.Clone(f.tokens), "of-clusterpass") {
			for _, part := range strings.Split(token, ".")[1:] {
				assert.NotContains(t, text, part)
			}
			assert.NotContains(t, text, token)
		}
	}
}
