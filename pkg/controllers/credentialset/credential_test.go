// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
)

var issued = time.Date(2026, time.May, 4, 12, 0, 0, 0, time.UTC)

func newWanted() *wanted {
	w := &wanted{
		set: &v1alpha1.ClusterCredentialSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "fleet", UID: "set-1", Generation: 1},
			Spec:       v1alpha1.ClusterCredentialSetSpec{Clusters: v1alpha1.ClusterSelection{Names: []string{"bravelion"}}},
		},
		profile: &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "bravelion", UID: "uid-1"}},
	}
	v1alpha1.SetDefaults_ClusterCredentialSet(w.set)
	return w
}

// made returns the Secret that w makes of an answer with a token.
func made(t *testing.T, w *wanted, token string, lifetime time.Duration) *corev1.Secret {
	t.Helper()
	expires := metav1.NewTime(issued.Add(lifetime))
	secret, err := w.secret(&multiclusterv1alpha1.AuthTokenRequest{Status: multiclusterv1alpha1.AuthTokenRequestStatus{
		Token: token, ExpirationTimestamp: &expires, GrantName: "a-grant", Kubeconfig: []byte("a kubeconfig with " + token),
		Cluster: &multiclusterv1alpha1.Cluster{Server: "https://bravelion"},
	}}, issued)
	require.NoError(t, err)
	return secret
}

// cached returns the Secret that w makes of an answer for an hour, as the cache has it.
func cached(t *testing.T, w *wanted) *corev1.Secret {
	t.Helper()
	secret := made(t, w, "minted", time.Hour)
	// Informers may transform an object twice.
	for range 2 {
		_, err := withoutContent(secret)
		require.NoError(t, err)
	}
	require.Empty(t, secret.Data)
	return secret
}

func TestWanted_Due(t *testing.T) {
	const (
		request  = "the request has changed"
		contents = "the contents of the Secret are to change"
		changed  = "the Secret was changed"
	)
	for name, test := range map[string]struct {
		why    string
		what   action
		change func(w *wanted, secret *corev1.Secret)
	}{
		"after four fifths of its life": {"it is due", mint, func(*wanted, *corev1.Secret) {}},
		"after the part that the set says": {"it is due", mint,
			func(w *wanted, _ *corev1.Secret) { w.set.Spec.Rotation.RefreshAtPercent = ptr.To(int32(80)) }},
		"at once for other rights": {request, mint, func(w *wanted, _ *corev1.Secret) {
			w.set.Spec.Template.ClusterRoles = []multiclusterv1alpha1.ClusterRole{{Name: "edit"}}
		}},
		"at once for another lifetime": {request, mint,
			func(w *wanted, _ *corev1.Secret) { w.set.Spec.Rotation.ExpirationSeconds = ptr.To(int64(7200)) }},
		"at once for another format": {contents, repair,
			func(w *wanted, _ *corev1.Secret) { w.set.Spec.Secret.Format = v1alpha1.SecretFormatToken }},
		"at once for another label": {contents, repair,
			func(w *wanted, _ *corev1.Secret) { w.set.Spec.Secret.Labels = map[string]string{"a": "b"} }},
		"at once for another format of a release that did not note what the token is for": {request, mint, func(w *wanted, s *corev1.Secret) {
			w.set.Spec.Secret.Format = v1alpha1.SecretFormatToken
			delete(s.Annotations, annotationTokenInputs)
		}},
		"at once for a cluster that replaces another": {request, mint, func(w *wanted, _ *corev1.Secret) { w.profile.UID = "uid-2" }},
		"at once for another way to the cluster": {request, mint, func(w *wanted, _ *corev1.Secret) {
			w.access = []inventoryv1alpha1.AccessProvider{{Name: "a"}}
		}},
		"at once where somebody wrote over it": {changed, repair,
			func(_ *wanted, s *corev1.Secret) { s.Annotations[annotationFound] = "other" }},
		"at once where it does not tell its times": {changed, repair,
			func(_ *wanted, s *corev1.Secret) { delete(s.Annotations, annotationIssued) }},
		"at once where the Secret is another set's": {"there is no Secret", mint,
			func(_ *wanted, s *corev1.Secret) { s.Labels[v1alpha1.LabelCredentialSetUID] = "set-2" }},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWanted()
			secret := cached(t, w)
			test.change(w, secret)
			due, what, why := w.due(secret, always)
			assert.Equal(t, test.why, why)
			assert.Equal(t, test.what, what)
			if test.why != "it is due" {
				assert.Zero(t, due)
				return
			}
			assert.WithinRange(t, due, issued.Add(43*time.Minute), issued.Add(48*time.Minute))
		})
	}
	w := newWanted()
	due, what, why := w.due(cached(t, w), func(string) bool { return false })
	assert.Equal(t, "the grant is revoked", why)
	assert.Equal(t, replace, what, "by a token if the grant is not stored either")
	assert.Equal(t, issued.Add(grantLag), due, "unless the cache is only behind")
	secret := cached(t, w)
	w.set.Annotations = map[string]string{v1alpha1.AnnotationRotate: "now"}
	due, what, why = w.due(secret, always)
	assert.Equal(t, "a rotation was requested", why)
	assert.Equal(t, mint, what)
	assert.Equal(t, issued.Add(rotatePause), due, "not more often than that")
	w.set.Annotations = nil
	_, _, why = w.due(nil, nil)
	assert.Equal(t, "there is no Secret", why)
}

func TestWanted_DueSpread(t *testing.T) {
	minutes := map[int]int{}
	for i := range 1000 {
		w := newWanted()
		w.profile.UID = types.UID(fmt.Sprintf("uid-%d", i))
		due, _, _ := w.due(cached(t, w), always)
		after := due.Sub(issued)
		assert.GreaterOrEqual(t, after, 43*time.Minute)
		assert.LessOrEqual(t, after, 48*time.Minute)
		minutes[int(after.Minutes())]++
	}
	for minute, n := range minutes {
		assert.Less(t, n, 300, minute)
	}
}

// A Secret that was written is waited for.
func TestController_IsBehind(t *testing.T) {
	clock := testingclock.NewFakeClock(issued)
	c, want := &Controller{Options: Options{Clock: clock}, records: map[types.UID]map[string]*record{}}, newWanted()
	fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "1", ResourceVersion: "20"}}
	old := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "1", ResourceVersion: "9"}}

	assert.False(t, c.isBehind(want, nil), "nothing was written")
	c.wrote(want, fresh)
	assert.True(t, c.isBehind(want, nil))
	assert.True(t, c.isBehind(want, old))
	assert.False(t, c.isBehind(want, fresh))
	assert.False(t, c.isBehind(want, nil), "it was there, and has been deleted")

	c.wrote(want, fresh)
	clock.Step(writeLag + time.Second)
	assert.False(t, c.isBehind(want, nil), "not for ever")
}

// Repairs of one Secret are not one after the other.
func TestController_Pause(t *testing.T) {
	clock := testingclock.NewFakeClock(issued)
	c, want := &Controller{Options: Options{Clock: clock}, records: map[types.UID]map[string]*record{}}, newWanted()
	assert.Zero(t, c.pause(want, repair), "nothing was written")
	c.wrote(want, &corev1.Secret{})
	assert.Zero(t, c.pause(want, mint), "a token is not waited for")
	assert.Equal(t, repairPause, c.pause(want, repair))
	clock.Step(repairPause)
	assert.Zero(t, c.pause(want, repair))
}

func TestWanted_Names(t *testing.T) {
	w := newWanted()
	assert.Equal(t, "team/fleet-bravelion", credentialset.SecretName(w.set, "bravelion").String())
	one := credentialset.ServiceAccountName(w.set, "bravelion", "uid-1")
	assert.Regexp(t, `^fleet-[a-z2-7]{10}$`, one)
	assert.NotEqual(t, one, credentialset.ServiceAccountName(w.set, "bravelion", "uid-2"), "profiles that lead to one member do not collide")
	w.set.Spec.Template.ServiceAccountName = "kueue-{{.cluster.name}}"
	assert.Equal(t, "kueue-bravelion", credentialset.ServiceAccountName(w.set, "bravelion", "uid-1"))

	w.set.Name = strings.Repeat("s", 63)
	longest := strings.Repeat("c", 253)
	for _, name := range []string{
		credentialset.SecretName(w.set, longest).Name, credentialset.ServiceAccountName(w.set, longest, "uid-1"),
	} {
		assert.Empty(t, validation.IsDNS1123Subdomain(name), name)
	}
	assert.NotEqual(t, credentialset.SecretName(w.set, longest), credentialset.SecretName(w.set, longest[1:]))
	w.set.Spec.Template.ServiceAccountName = ""
	assert.Empty(t, validation.IsDNS1123Label(credentialset.ServiceAccountName(w.set, longest, "uid-1")))
}
