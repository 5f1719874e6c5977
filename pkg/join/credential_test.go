// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// signed returns a token that is valid from issued until expiry.
func signed(t *testing.T, issued, expiry time.Time) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("a key for tests that is 32 bytes")}, nil)
	require.NoError(t, err)
	claims := jwt.Claims{IssuedAt: jwt.NewNumericDate(issued), Expiry: jwt.NewNumericDate(expiry)}
	token, err := jwt.Signed(signer).Claims(claims).CompactSerialize()
	require.NoError(t, err)
	return token
}

// Tokens are kept until they are due.
func TestIsFresh(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		token string
		fresh bool
	}{
		"a new one":                       {signed(t, now, now.Add(time.Hour)), true},
		"one with a quarter of its life":  {signed(t, now.Add(-45*time.Minute), now.Add(15*time.Minute)), true},
		"one with a sixth of its life":    {signed(t, now.Add(-50*time.Minute), now.Add(10*time.Minute)), false},
		"one that has expired":            {signed(t, now.Add(-2*time.Hour), now.Add(-time.Hour)), false},
		"something that is not a token":   {"secret", false},
		"nothing":                         {"", false},
		"one that does not say its times": {signed(t, time.Time{}, time.Time{}), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.fresh, isFresh(test.token, now)) })
	}
}

func TestSecretNames(t *testing.T) {
	assert.Equal(t, "member-team-bravelion", secretNames("team", "bravelion")[0])
	assert.Equal(t, secretNames("a-b", "c")[0], secretNames("a", "b-c")[0])
	assert.NotEqual(t, secretNames("a-b", "c")[1], secretNames("a", "b-c")[1])
	longest := strings.Repeat("n", 253)
	for _, name := range []string{strings.Repeat("n", 240), strings.Repeat("n", 250), longest} {
		for _, secret := range secretNames(strings.Repeat("s", 63), name) {
			assert.Empty(t, validation.IsDNS1123Subdomain(secret), name)
		}
	}
	assert.Len(t, secretNames("team", longest), 1)
	assert.NotEqual(t, secretNames("a-b", longest[2:]+"-c"), secretNames("a", "b-"+longest[2:]+"-c"))
}

// secretOf returns a hub's Secret for a ClusterProfile.
func secretOf(name, profile string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: hub.SystemNamespace, Name: name, Annotations: map[string]string{member.ClusterProfileAnnotation: profile},
	}}
}

// joinerOf returns a joiner for ClusterProfile a/b-c on a hub that has secrets.
func joinerOf(secrets ...runtime.Object) *joiner {
	out := &report{out: io.Discard, dryRun: DryRunNone}
	return &joiner{
		Target: Target{Namespace: "a", Name: "b-c", Out: io.Discard, DryRun: DryRunNone},
		hub:    &side{name: "hub", kube: fake.NewClientset(secrets...), report: out}, report: out,
	}
}

func TestJoiner_Secret(t *testing.T) {
	type objects = []runtime.Object
	plain, hashed := secretNames("a", "b-c")[0], secretNames("a", "b-c")[1]
	for name, test := range map[string]struct {
		there  objects
		want   string
		exists bool
		err    string
	}{
		"the plain name where it is free":         {nil, plain, false, ""},
		"the one that is there":                   {objects{secretOf(plain, "a/b-c")}, plain, true, ""},
		"a hash where another has the plain name": {objects{secretOf(plain, "a-b/c")}, hashed, false, ""},
		"the one that is there by a hash":         {objects{secretOf(plain, "a-b/c"), secretOf(hashed, "a/b-c")}, hashed, true, ""},
		"also when the other has gone":            {objects{secretOf(hashed, "a/b-c")}, hashed, true, ""},
		"an error that names both where both are taken": {objects{secretOf(plain, "a-b/c"), secretOf(hashed, "other/x")}, "", false,
			`is not for ClusterProfile a/b-c but for "other/x"`},
	} {
		t.Run(name, func(t *testing.T) {
			j := joinerOf(test.there...)
			secret, err := j.secret(t.Context())
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, test.exists, secret != nil)
			assert.Equal(t, test.want, j.secretName)
		})
	}
}

// TestJoiner_Stay is about an unjoin that is begun while the join is under way.
func TestJoiner_Stay(t *testing.T) {
	secret := secretOf(secretNames("a", "b-c")[0], "a/b-c")
	secret.Annotations[member.LeavingAnnotation] = "2026-05-04T12:00:00Z"
	j := joinerOf(secret)
	require.ErrorContains(t, j.checkStays(t.Context()), "marks it as leaving since 2026-05-04T12:00:00Z")
	require.NoError(t, j.stay(t.Context()))
	require.NoError(t, j.checkStays(t.Context()))
	now, err := j.secret(t.Context())
	require.NoError(t, err)
	assert.NotContains(t, now.Annotations, member.LeavingAnnotation)
	require.NoError(t, j.stay(t.Context()), "once more")
}

// What is applied is all that join owns of the Secret, and has no empty fields.
func TestJoiner_CredentialReady(t *testing.T) {
	theirs := newObject(secretKind, hub.SystemNamespace, "member-a-b-c")
	theirs.SetAnnotations(map[string]string{member.ClusterProfileAnnotation: "a/b-c"})
	client := dynamicfake.NewSimpleDynamicClient(runtime.NewScheme(), theirs)
	var applied []byte
	client.PrependReactor("patch", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		applied = action.(clienttesting.PatchAction).GetPatch()
		return true, theirs, nil
	})
	j := joinerOf()
	// No token is made, and what is applied goes to a server.
	j.DryRun, j.report.dryRun = DryRunServer, DryRunServer
	j.hub.dynamic, j.member, j.memberID, j.secretName = client, j.hub, "uid", theirs.GetName()
	kubeconfig := []byte("kubeconfig \xff\xfe")

	require.NoError(t, j.credentialReady(t.Context(), &Member{}, nil, func(string) ([]byte, error) { return kubeconfig, nil }))
	secret := &corev1.Secret{}
	require.NoError(t, json.Unmarshal(applied, secret))
	assert.Equal(t, &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: hub.SystemNamespace, Name: "member-a-b-c", Labels: map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: "a/b-c", member.MemberUIDAnnotation: "uid"},
		},
		Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"kubeconfig": kubeconfig},
	}, secret)
	assert.NotContains(t, string(applied), "null")
	assert.NotContains(t, string(applied), "{}")
}
