// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/pkg/member"
)

// laggingHub is a hub whose caches may be behind what is stored.
type laggingHub struct {
	cached, stored           *inventoryv1alpha1.ClusterProfile
	cachedSecret, thisSecret *corev1.Secret
	profileReads, reads      int
}

func orNotFound[T any](object *T, resource schema.GroupResource, name string) (*T, error) {
	if object == nil {
		return nil, apierrors.NewNotFound(resource, name)
	}
	return object, nil
}

func (h *laggingHub) Cached(_ context.Context, _, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	return orNotFound(h.cached, clusterProfiles, name)
}

func (h *laggingHub) Stored(_ context.Context, _, name string) (*inventoryv1alpha1.ClusterProfile, error) {
	h.profileReads++
	return orNotFound(h.stored, clusterProfiles, name)
}

func (h *laggingHub) Get(_, name string) (*corev1.Secret, error) {
	return orNotFound(h.cachedSecret, corev1.Resource("secrets"), name)
}

// Of implements member.Secrets.
func (h *laggingHub) Of(string, string) ([]*corev1.Secret, error) { return nil, nil }

func (h *laggingHub) readSecret(_ context.Context, _, name string) (*corev1.Secret, error) {
	h.reads++
	return orNotFound(h.thisSecret, corev1.Resource("secrets"), name)
}

func (h *laggingHub) minter(t *testing.T, a authorizer.Authorizer) *Minter {
	t.Helper()
	pool, err := member.NewPool(member.Options{Config: member.DefaultConfig(), Secrets: h, Stored: h.readSecret})
	require.NoError(t, err)
	return New(Config{
		Profiles: h, Members: pool, MaxExpiration: time.Hour, RequestTimeout: time.Minute, Clock: clock.RealClock{}, Authorizer: a,
	})
}

func profileWith(uid types.UID, providers ...inventoryv1alpha1.AccessProvider) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "bravelion", UID: uid},
		Status:     inventoryv1alpha1.ClusterProfileStatus{AccessProviders: providers},
	}
}

func going(profile *inventoryv1alpha1.ClusterProfile) *inventoryv1alpha1.ClusterProfile {
	profile.DeletionTimestamp = ptr.To(metav1.Now())
	return profile
}

// secretAccess is an access provider that leads to memberSecret.
var secretAccess = inventoryv1alpha1.AccessProvider{Name: configv1alpha1.DefaultProviderName, Cluster: clientcmdv1.Cluster{
	Server: "https://member.example.com",
	Extensions: []clientcmdv1.NamedExtension{{Name: "client.authentication.k8s.io/exec",
		Extension: runtime.RawExtension{Raw: []byte(`{"name":"m"}`)}}},
}}

// memberSecret returns the Secret of a member, for a ClusterProfile as NAMESPACE/NAME.
func memberSecret(forProfile string) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "clusterpass-system", Name: "m", Labels: map[string]string{member.KubeconfigLabel: "true"},
			Annotations: map[string]string{member.ClusterProfileAnnotation: forProfile},
		},
		Data: map[string][]byte{"kubeconfig": []byte(`{"apiVersion":"v1","kind":"Config","current-context":"c",
			"clusters":[{"name":"c","cluster":{"server":"https://member.example.com"}}],"users":[{"name":"u","user":{"token":"t"}}],
			"contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}]}`)},
	}
}

// requestOf returns the talk's request, by that user.
func requestOf(name string) Request {
	return Request{Namespace: "default", Spec: validRequest().Spec, User: &user.DefaultInfo{Name: name}}
}

// A refusal is confirmed by what is stored.
func TestMinter_MintRefusal(t *testing.T) {
	bare, one, two := profileWith("1"), profileWith("1", secretAccess), profileWith("2", secretAccess)
	leaving := going(profileWith("1", secretAccess))
	good, bad := memberSecret("default/bravelion"), memberSecret("default/smartfish")
	tests := map[string]struct {
		hub laggingHub
		uid types.UID
		// words of the refusal; none: it is answered.
		words string
		// reads of the profile and of the Secret.
		profileReads, reads int
	}{
		"what the caches have costs no read":     {hub: laggingHub{cached: one, cachedSecret: good}},
		"a profile that was made a moment ago":   {hub: laggingHub{stored: one, thisSecret: good}, profileReads: 1, reads: 1},
		"a status that was written a moment ago": {hub: laggingHub{cached: bare, stored: one, thisSecret: good}, profileReads: 1, reads: 1},
		"a profile that has replaced another": {hub: laggingHub{cached: one, stored: two, thisSecret: good}, uid: "2",
			profileReads: 1, reads: 1},
		"one that has replaced another that is gone": {hub: laggingHub{cached: leaving, stored: two, thisSecret: good},
			profileReads: 1, reads: 1},
		"a Secret that was made a moment ago": {hub: laggingHub{cached: one, stored: one, thisSecret: good}, profileReads: 1, reads: 1},
		"a Secret that was annotated a moment ago": {hub: laggingHub{cached: one, stored: one, cachedSecret: bad, thisSecret: good},
			profileReads: 1, reads: 1},

		"no profile":              {words: "not found", profileReads: 1},
		"another profile":         {hub: laggingHub{cached: one, stored: one}, uid: "2", words: "has been replaced", profileReads: 1},
		"a profile that is going": {hub: laggingHub{cached: leaving, stored: leaving}, words: "is being deleted", profileReads: 1},
		"no access provider":      {hub: laggingHub{cached: bare, stored: bare}, words: "status.accessProviders has none", profileReads: 1},
		"no Secret":               {hub: laggingHub{cached: one, stored: one}, words: "there is no Secret", profileReads: 1, reads: 1},
		"a Secret of another cluster": {hub: laggingHub{cached: one, stored: one, cachedSecret: bad, thisSecret: bad},
			words: "is not for this cluster", profileReads: 1, reads: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			hub := test.hub
			r := requestOf("jane")
			r.DryRun = true
			r.Spec.TargetClusterProfile.UID = test.uid
			_, err := hub.minter(t, authorizerfactory.NewAlwaysAllowAuthorizer()).Mint(t.Context(), r)
			if test.words == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.words)
			}
			assert.Equal(t, test.profileReads, hub.profileReads, "reads of the profile")
			assert.Equal(t, test.reads, hub.reads, "reads of the Secret")
		})
	}

	t.Run("who is not entitled has nothing read", func(t *testing.T) {
		hub := &laggingHub{}
		_, err := hub.minter(t, authorizerfactory.NewAlwaysDenyAuthorizer()).Mint(t.Context(), requestOf("eve"))
		require.True(t, apierrors.IsForbidden(err))
		assert.Zero(t, hub.profileReads+hub.reads)
	})
}
