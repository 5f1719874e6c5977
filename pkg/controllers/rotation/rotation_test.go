// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package rotation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
)

var issued = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)

// unbound are the claims of a token that is bound to nothing.
const unbound = `"kubernetes.io":{"namespace":"a","serviceaccount":{"name":"b"}}`

const bound = `"kubernetes.io":{"namespace":"clusterpass-system","serviceaccount":{"name":"clusterpass","uid":"a"},` +
	`"secret":{"name":"clusterpass-credential","uid":"s"}}`

// signed returns a token with claims.
func signed(t *testing.T, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("a key for tests that is 32 bytes")}, nil)
	require.NoError(t, err)
	content := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(claims), &content))
	token, err := jwt.Signed(signer).Claims(content).CompactSerialize()
	require.NoError(t, err)
	return token
}

// lasting returns claims of a token that begins then, with others.
func lasting(others string, from time.Time, lifetime time.Duration) string {
	return fmt.Sprintf(`{%s,"iat":%d,"exp":%d}`, others, from.Unix(), from.Add(lifetime).Unix())
}

// Which credentials are renewed.
func TestNewCredential(t *testing.T) {
	for name, test := range map[string]struct {
		token   string
		renewed bool
	}{
		"one that is bound to the Secret for it": {signed(t, lasting(bound, issued, time.Hour)), true},
		"not one that never ends":                {signed(t, "{"+bound+"}"), false},
		"not one that is bound to nothing":       {signed(t, lasting(unbound, issued, time.Hour)), false},
		"not one that is bound to another Secret": {signed(t,
			lasting(`"kubernetes.io":{"namespace":"a","serviceaccount":{"name":"b"},"secret":{"name":"c","uid":"d"}}`, issued, time.Hour)), false},
		"not one of an issuer that is no Kubernetes":        {signed(t, lasting(`"sub":"somebody"`, issued, time.Hour)), false},
		"not one with other claims than those of a token's": {signed(t, `{"kubernetes.io":"no","exp":1}`), false},
		"not what is no JWT":                                {"abcdef.0123456789abcdef", false},
		"not a kubeconfig without a token":                  {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			got := newCredential(member.SecretReference{}, test.token)
			if !test.renewed {
				assert.Nil(t, got)
				return
			}
			require.NotNil(t, got)
			assert.Equal(t, "system:serviceaccount:clusterpass-system:clusterpass", got.username())
			assert.Equal(t, member.TokenObject{Name: "clusterpass-credential", UID: "s"}, got.Secret)
		})
	}
}

// Renewals are spread, before four fifths of a life.
func TestCredential_Due(t *testing.T) {
	own := newCredential(member.SecretReference{}, signed(t, lasting(bound, issued, 100*time.Hour)))
	require.NotNil(t, own)
	seen := map[time.Duration]int{}
	for i := range 1000 {
		due := own.due(types.UID(fmt.Sprintf("profile-%d", i))).Sub(issued)
		assert.GreaterOrEqual(t, due, 75*time.Hour)
		assert.LessOrEqual(t, due, 80*time.Hour)
		seen[due.Truncate(time.Hour)]++
	}
	for hour, n := range seen {
		assert.Less(t, n, 300, hour)
	}
}

var profile = &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion"}}

// hubWith returns a hub whose Secret for profile has a token, and a Controller that stores there.
func hubWith(t *testing.T, token string) (*fake.Clientset, *Controller) {
	t.Helper()
	kubeconfig, err := clientcmd.Write(clientcmdapi.Config{
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token}},
		Contexts:       map[string]*clientcmdapi.Context{"c": {AuthInfo: "u"}},
		CurrentContext: "c",
	})
	require.NoError(t, err)
	hub := fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "clusterpass-system", Name: "kubeconfig",
			Labels:      map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "default/bravelion"},
		},
		Data: map[string][]byte{"kubeconfig": kubeconfig, "note": []byte("kept")},
	})
	return hub, &Controller{Options: Options{Hub: hub}}
}

// A successor is stored where its predecessor still is.
func TestController_Store(t *testing.T) {
	other := profile.DeepCopy()
	other.Name = "smartfish"
	for name, test := range map[string]struct {
		token   string
		profile *inventoryv1alpha1.ClusterProfile
		// answers are those of the hub to the first updates.
		answers []error
		// is says whether the error is the right one; nil: there is none.
		is     func(error) bool
		stored bool
		want   string
	}{
		"where it still is":                       {token: "old", profile: profile, stored: true, want: "new"},
		"not where somebody else has replaced it": {token: "of a join that came first", profile: profile, want: "of a join that came first"},
		"not where the Secret is another cluster's by now": {
			token: "old", profile: other, want: "old",
			is: func(err error) bool { return strings.Contains(err.Error(), "is not for this cluster") },
		},
		"also when another field was written at the same time": {
			token: "old", profile: profile, stored: true, want: "new",
			answers: []error{apierrors.NewConflict(corev1.Resource("secrets"), "kubeconfig", nil)},
		},
		"not when the hub forbids it, with an event": {
			token: "old", profile: profile, want: "old",
			answers: []error{apierrors.NewForbidden(corev1.Resource("secrets"), "kubeconfig", nil)}, is: apierrors.IsForbidden,
		},
	} {
		t.Run(name, func(t *testing.T) {
			hub, c := hubWith(t, test.token)
			updates := 0
			hub.PrependReactor("update", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
				if updates++; updates > len(test.answers) {
					return false, nil, nil
				}
				return true, nil, test.answers[updates-1]
			})
			reference := member.SecretReference{Namespace: "clusterpass-system", Name: "kubeconfig", Key: "kubeconfig"}
			stored, err := c.store(t.Context(), test.profile, &credential{token: "new", reference: reference}, "old")
			if test.is == nil {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
				assert.True(t, test.is(err), "%v", err)
			}
			assert.Equal(t, test.stored, stored)
			assert.Equal(t, test.want, tokenAt(t, hub))
		})
	}
}

// A successor is looked at before it is stored.
func TestController_Check(t *testing.T) {
	token := func(issuedAgo, lifetime time.Duration, of string) *credential {
		return newCredential(member.SecretReference{}, signed(t, lasting(of, issued.Add(-issuedAgo), lifetime)))
	}
	long := fmt.Sprintf(`%s,"padding":%q`, bound, strings.Repeat("a", member.MaxToken))
	spaced := newCredential(member.SecretReference{}, signed(t, lasting(bound, issued, time.Hour))+"\n")
	old := token(time.Hour, time.Hour, bound)
	for name, test := range map[string]struct {
		successor *credential
		words     string
	}{
		"a new one is stored":                             {token(0, time.Hour, bound), ""},
		"one that ends soon, and has just begun, as well": {token(0, time.Minute, bound), ""},
		"not one that is no bound token":                  {nil, "could not be used or renewed again"},
		"not one that would be renewed at once, for ever": {token(50*time.Minute, time.Hour, bound), "compare the clocks"},
		"not one for another account": {token(0, time.Hour,
			strings.Replace(bound, `"name":"clusterpass",`, `"name":"other",`, 1)), "for another ServiceAccount"},
		"not one that is bound to another Secret": {token(0, time.Hour, strings.Replace(bound, `"uid":"s"`, `"uid":"other"`, 1)),
			"bound to another Secret"},
		"not one without end":                   {token(0, time.Hour, long), "could not be used or renewed again"},
		"not one that the clients would refuse": {spaced, "could not be used or renewed again"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Controller{Options: Options{Clock: testingclock.NewFakeClock(issued)}}
			err := c.check(test.successor, old)
			if test.words == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.words)
		})
	}
}

// What events say about a credential that is not renewed.
func TestController_Failed(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		prefix string
	}{
		"that the member refuses it, under a reason of its own": {&endedError{issued, "Run: mend"},
			"Warning CredentialRefused The hub's credential for the member is not renewed: the member does not accept it"},
		"anything else, as far as an event can hold it": {errors.New(strings.Repeat("ä", 2000)),
			"Warning CredentialNotRenewed The hub's credential"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(1)
			c := &Controller{Options: Options{Recorder: recorder}}
			c.failed(t.Context(), profile, test.err)
			told := <-recorder.Events
			assert.True(t, strings.HasPrefix(told, test.prefix), told)
			assert.True(t, utf8.ValidString(told))
			assert.Less(t, len(told), 1024)
		})
	}
}
