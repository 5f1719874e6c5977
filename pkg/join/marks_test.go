// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// sharedSecret returns the hub's Secret for profiles, with annotations as KEY=VALUE.
func sharedSecret(profiles string, annotations ...string) *corev1.Secret {
	secret := secretOf("shared", profiles)
	secret.Labels = map[string]string{member.KubeconfigLabel: "true"}
	for _, annotation := range annotations {
		key, value, _ := strings.Cut(annotation, "=")
		secret.Annotations[key] = value
	}
	return secret
}

// storedAnnotations returns the annotations of the Secret now, nil if it is gone.
func storedAnnotations(t *testing.T, j *joiner) map[string]string {
	t.Helper()
	secret, err := j.hub.kube.CoreV1().Secrets(hub.SystemNamespace).Get(t.Context(), "shared", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	return secret.Annotations
}

// TestJoiner_Marks has one of the ClusterProfiles of a Secret, a/b-c, leave and stay.
func TestJoiner_Marks(t *testing.T) {
	const whole, some, names = member.LeavingAnnotation, member.LeavingProfilesAnnotation, member.ClusterProfileAnnotation
	const since = whole + "=2026-05-04T12:00:00Z"
	type annotations = map[string]string
	for name, test := range map[string]struct {
		secret *corev1.Secret
		do     func(*joiner) error
		want   annotations
	}{
		"it leaves alone where the member is for others": {sharedSecret("x/y, a/b-c"),
			func(j *joiner) error { return j.leave(t.Context()) }, annotations{names: "x/y, a/b-c", some: "a/b-c"}},
		"it leaves beside another that leaves": {sharedSecret("x/y,a/b-c", some+"=x/y"),
			func(j *joiner) error { return j.leave(t.Context()) }, annotations{names: "x/y,a/b-c", some: "x/y,a/b-c"}},
		"it leaves once": {sharedSecret("x/y,a/b-c", some+"=a/b-c"),
			func(j *joiner) error { return j.leave(t.Context()) }, annotations{names: "x/y,a/b-c", some: "a/b-c"}},
		"it stays, and another goes on leaving": {sharedSecret("x/y,a/b-c", some+"=x/y,a/b-c"),
			func(j *joiner) error { return j.stay(t.Context()) }, annotations{names: "x/y,a/b-c", some: "x/y"}},
		"it stays, and the one that left as the only one goes on leaving": {sharedSecret("x/y,a/b-c", since),
			func(j *joiner) error { return j.stay(t.Context()) }, annotations{names: "x/y,a/b-c", some: "x/y"}},
		"it is gone, with its mark": {sharedSecret("x/y,a/b-c,x/z", some+"=x/z,a/b-c"),
			func(j *joiner) error { return j.release(t.Context()) }, annotations{names: "x/y,x/z", some: "x/z"}},
		"it is gone as the last one": {sharedSecret("a/b-c", since),
			func(j *joiner) error { return j.release(t.Context()) }, nil},
		"it is named": {sharedSecret("x/y", some+"=x/y"),
			func(j *joiner) error { return j.addName(t.Context()) }, annotations{names: "x/y,a/b-c", some: "x/y"}},
		"it is named once": {sharedSecret("a/b-c,x/y"),
			func(j *joiner) error { return j.addName(t.Context()) }, annotations{names: "a/b-c,x/y"}},
	} {
		t.Run(name, func(t *testing.T) {
			j := joinerOf(test.secret)
			j.secretName = "shared"
			require.NoError(t, test.do(j))
			assert.Equal(t, test.want, storedAnnotations(t, j))
		})
	}
	t.Run("a dry run changes nothing", func(t *testing.T) {
		j := joinerOf(sharedSecret("x/y,a/b-c"))
		j.secretName, j.DryRun = "shared", DryRunClient
		require.NoError(t, j.leave(t.Context()))
		require.NoError(t, j.release(t.Context()))
		assert.Equal(t, annotations{names: "x/y,a/b-c"}, storedAnnotations(t, j))
	})
	t.Run("a Secret that is full is refused", func(t *testing.T) {
		all := make([]string, member.MaxSecretProfiles)
		for i := range all {
			all[i] = fmt.Sprintf("x/p%d", i)
		}
		j := joinerOf(sharedSecret(strings.Join(all, ",")))
		j.secretName = "shared"
		require.ErrorContains(t, j.addName(t.Context()), "names 64 ClusterProfiles, and can't name more")
		assert.Equal(t, annotations{names: strings.Join(all, ",")}, storedAnnotations(t, j))
	})
}

// The last ClusterProfile takes the Secret away only if nobody has named another one there
// meanwhile.
func TestJoiner_Release(t *testing.T) {
	j := joinerOf(sharedSecret("a/b-c"))
	j.secretName = "shared"
	client := j.hub.kube.(interface {
		PrependReactor(verb, resource string, reaction clienttesting.ReactionFunc)
		Tracker() clienttesting.ObjectTracker
	})
	client.PrependReactor("delete", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		require.NotNil(t, action.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions.ResourceVersion)
		secrets := corev1.SchemeGroupVersion.WithResource("secrets")
		require.NoError(t, client.Tracker().Update(secrets, sharedSecret("a/b-c,x/y"), hub.SystemNamespace))
		return true, nil, apierrors.NewConflict(corev1.Resource("secrets"), "shared", nil)
	})
	require.NoError(t, j.release(t.Context()))
	assert.Equal(t, map[string]string{member.ClusterProfileAnnotation: "x/y"}, storedAnnotations(t, j))
}
