// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset/format"
)

// argoCD returns the Secret of a set for Argo CD, as it was written.
func argoCD(t *testing.T, w *wanted) *corev1.Secret {
	t.Helper()
	w.set.Spec.Secret.Format = v1alpha1.SecretFormatArgoCD
	return made(t, w, "minted", time.Hour)
}

func always(string) bool { return true }

// What counts as a change of a Secret.
func TestWanted_DueChanged(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(secret *corev1.Secret)
		changed bool
	}{
		"nothing":                            {func(*corev1.Secret) {}, false},
		"a key of somebody else":             {func(s *corev1.Secret) { s.Data["project"] = []byte("infra") }, false},
		"a label of somebody else":           {func(s *corev1.Secret) { s.Labels["team"] = "a" }, false},
		"an annotation of somebody else":     {func(s *corev1.Secret) { s.Annotations["note"] = "a" }, false},
		"a finalizer":                        {func(s *corev1.Secret) { s.Finalizers = []string{"example.com/a"} }, false},
		"an owner":                           {func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{{Name: "a"}} }, false},
		"the server":                         {func(s *corev1.Secret) { s.Data["server"] = []byte("https://other") }, true},
		"a key that is gone":                 {func(s *corev1.Secret) { delete(s.Data, "name") }, true},
		"the label of the format":            {func(s *corev1.Secret) { delete(s.Labels, format.ArgoCDTypeLabel) }, true},
		"a label of the set":                 {func(s *corev1.Secret) { s.Labels["for"] = "other" }, true},
		"an annotation of the set":           {func(s *corev1.Secret) { delete(s.Annotations, "says") }, true},
		"when it expires":                    {func(s *corev1.Secret) { s.Annotations[annotationExpires] = "2036-05-04T13:00:00Z" }, true},
		"an annotation that looks like ours": {func(s *corev1.Secret) { s.Annotations[annotationPrefix+"a"] = "b" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWanted()
			w.set.Spec.Secret.Labels, w.set.Spec.Secret.Annotations = map[string]string{"for": "fleet"}, map[string]string{"says": "so"}
			secret := argoCD(t, w)
			test.change(secret)
			_, err := withoutContent(secret)
			require.NoError(t, err)
			_, what, why := w.due(secret, always)
			if test.changed {
				assert.Equal(t, repair, what)
				assert.Equal(t, "the Secret was changed", why)
				return
			}
			assert.Equal(t, "it is due", why)
		})
	}
}

// What others have put into a Secret stays.
func TestMerge(t *testing.T) {
	w := newWanted()
	w.set.Spec.Secret.Labels = map[string]string{"for": "fleet", "shared": "yes"}
	w.set.Spec.Secret.Annotations = map[string]string{"says": "so"}
	have := argoCD(t, w)
	have.ResourceVersion = "7"
	have.Labels["team"], have.Annotations["note"], have.Data["project"] = "a", "b", []byte("infra")
	have.Annotations[annotationPrefix+"old"] = "c"
	have.Finalizers, have.OwnerReferences = []string{"example.com/a"}, []metav1.OwnerReference{{Name: "a"}}
	have.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "gitops", Operation: metav1.ManagedFieldsOperationApply,
		FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:shared":{}}}}`),
	}}
	w.set.Spec.Secret.Labels, w.set.Spec.Secret.Annotations = nil, nil
	w.set.Spec.Secret.Format = v1alpha1.SecretFormatToken
	next := merge(have, made(t, w, "another", 2*time.Hour))
	assert.Equal(t, "7", next.ResourceVersion)
	assert.Equal(t, have.Finalizers, next.Finalizers)
	assert.Equal(t, have.OwnerReferences, next.OwnerReferences)
	assert.Equal(t, map[string]string{"team": "a", "shared": "yes", v1alpha1.LabelCredentialSetUID: "set-1"}, next.Labels,
		"what the set has ceased to say is gone, unless somebody else says it by server-side apply")
	assert.Equal(t, "b", next.Annotations["note"])
	assert.NotContains(t, next.Annotations, "says")
	assert.NotContains(t, next.Annotations, annotationPrefix+"old")
	assert.Equal(t, map[string][]byte{
		"token": []byte("another"), "server": []byte("https://bravelion"), "expirationTimestamp": []byte("2026-05-04T14:00:00Z"),
		"project": []byte("infra"),
	}, next.Data)
	next.Annotations[annotationFound] = found(next)
	assert.True(t, isAsWritten(next), "what stays of others is no change")
}

// A Secret of a release that did not note its keys.
func TestMerge_EarlierRelease(t *testing.T) {
	w := newWanted()
	w.set.Spec.Secret.Labels = map[string]string{"for": "fleet"}
	fresh := made(t, w, "minted", time.Hour)
	old := fresh.DeepCopy()
	// Those that releases wrote which did not note the keys: their digests are what they were.
	old.Annotations = map[string]string{
		annotationCluster: "bravelion", annotationClusterUID: "uid-1", annotationGrant: "a-grant",
		annotationIssued: "2026-05-04T12:00:00Z", annotationExpires: "2026-05-04T13:00:00Z",
		annotationSecretInputs: "336d8f48121d8a73e8430894750cb4c1", annotationContent: "47cee5deb908943d93de721f533674ab",
	}
	old.Annotations["note"] = "of somebody else"
	old.Labels["team"], old.Data["project"] = "a", []byte("infra")
	old.ManagedFields = []metav1.ManagedFieldsEntry{
		{Manager: "kubectl-edit", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(
			`{"f:metadata":{"f:labels":{"f:team":{}},"f:annotations":{"f:note":{}}},"f:data":{"f:project":{}}}`)},
		{Manager: "clusterpass-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, FieldsV1: metav1.NewFieldsV1(
			`{"f:metadata":{"f:labels":{".":{},"f:for":{}},"f:annotations":{".":{},"f:clusterpass.dev/credential-content":{}}},` +
				`"f:data":{".":{},"f:kubeconfig":{},"f:value":{}}}`)},
	}
	read := old.DeepCopy()
	_, err := withoutContent(read)
	require.NoError(t, err)
	_, _, why := w.due(read, always)
	assert.Equal(t, "it is due", why, "it is left as it is until it is renewed, whatever others have added")

	want := fresh.DeepCopy()
	delete(want.Labels, "for")
	next := merge(old, want)
	assert.Equal(t, map[string]string{"team": "a", v1alpha1.LabelCredentialSetUID: "set-1"}, next.Labels)
	assert.Equal(t, "of somebody else", next.Annotations["note"])
	assert.Equal(t, []byte("infra"), next.Data["project"])
}

func TestController_WrittenToken(t *testing.T) {
	c := &Controller{Options: Options{Clock: testingclock.NewFakeClock(issued.Add(time.Minute))}}
	for name, test := range map[string]struct {
		change func(secret *corev1.Secret)
		token  string
	}{
		"whatever else was changed":           {func(s *corev1.Secret) { delete(s.Data, "server"); s.Labels = nil }, "minted"},
		"not one that somebody has put there": {func(s *corev1.Secret) { s.Data["config"] = []byte(`{"bearerToken": "theirs"}`) }, ""},
		"not one that is gone":                {func(s *corev1.Secret) { s.Data["config"] = nil }, ""},
		"not one that has expired":            {func(s *corev1.Secret) { s.Annotations[annotationExpires] = issued.Format(time.RFC3339) }, ""},
		"not one of which nothing is known":   {func(s *corev1.Secret) { delete(s.Annotations, annotationToken) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			secret := argoCD(t, newWanted())
			test.change(secret)
			assert.Equal(t, test.token, c.writtenToken(secret).value)
		})
	}
	assert.Empty(t, c.writtenToken(nil).value)
}
