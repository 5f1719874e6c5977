// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// adopted returns the profile default/bravelion with entries of providers that are not configured.
func adopted(others ...string) *inventoryv1alpha1.ClusterProfile {
	profile := profileFor("")
	profile.Status.AccessProviders = nil
	for _, name := range others {
		profile.Status.AccessProviders = append(profile.Status.AccessProviders,
			inventoryv1alpha1.AccessProvider{Name: name, Cluster: clientcmdv1.Cluster{Server: "https://proxy.example.com"}})
	}
	return profile
}

// A Secret that names a profile is enough.
func TestPool_ForAdopted(t *testing.T) {
	const elsewhere = "https://elsewhere.example.com"
	kubeconfigs := func(t *testing.T) fakeSecrets { t.Helper(); return memberSecret(kubeconfig(t, memberURL, nil, nil)) }
	for name, test := range map[string]struct {
		profile *inventoryv1alpha1.ClusterProfile
		change  func(t *testing.T, secrets fakeSecrets, only *corev1.Secret)
		server  string
		err     string
	}{
		"by the only Secret that names it": {profile: adopted(), server: memberURL},
		"whatever entries others have":     {profile: adopted("open-cluster-management", "another"), server: memberURL},
		"by one of several names": {profile: adopted(), server: memberURL, change: func(_ *testing.T, _ fakeSecrets, only *corev1.Secret) {
			only.Annotations[ClusterProfileAnnotation] = "team/bravelion, default/bravelion,not a name"
		}},
		"by the key and the context that the Secret names": {profile: adopted(), server: elsewhere,
			change: func(t *testing.T, _ fakeSecrets, only *corev1.Secret) {
				t.Helper()
				only.Data["value"] = kubeconfig(t, elsewhere, nil, nil)
				only.Annotations[KeyAnnotation], only.Annotations[ContextAnnotation] = "value", "c"
			}},
		"but not by an entry of its own that leads nowhere": {
			profile: profileFor(`{"name":"another"}`), err: "no Secret clusterpass-system/another"},
		"but not by the Secret of another": {profile: adopted(), change: func(_ *testing.T, _ fakeSecrets, only *corev1.Secret) {
			only.Annotations[ClusterProfileAnnotation] = "default/smartfish,team/bravelion"
		}, err: "no Secret with label clusterpass.dev/member-kubeconfig=true names it " +
			"in the annotation clusterpass.dev/cluster-profile=default/bravelion"},
		"but not by two": {profile: adopted(), change: func(t *testing.T, secrets fakeSecrets, _ *corev1.Secret) {
			t.Helper()
			secrets.add("n", kubeconfig(t, elsewhere, nil, nil))
		}, err: "several Secrets name it in the annotation clusterpass.dev/cluster-profile, and only one may: " +
			"clusterpass-system/m and clusterpass-system/n"},
		"but not from a namespace that is not configured": {profile: adopted(), change: func(_ *testing.T, all fakeSecrets, only *corev1.Secret) {
			only.Namespace = "team"
			delete(all, "clusterpass-system/m")
			all["team/m"] = only
		}, err: "not read from the namespace of its Secret"},
		"but not past the bound": {profile: adopted(), change: func(_ *testing.T, _ fakeSecrets, only *corev1.Secret) {
			only.Annotations[ClusterProfileAnnotation] = strings.Repeat("default/smartfish,", MaxSecretProfiles) + "default/bravelion"
		}, err: "no Secret with label"},
	} {
		t.Run(name, func(t *testing.T) {
			secrets := kubeconfigs(t)
			if test.change != nil {
				test.change(t, secrets, secrets["clusterpass-system/m"])
			}
			pool := newTestPool(t, DefaultConfig(), secrets, nil)
			client, err := pool.For(t.Context(), test.profile)
			if test.err != "" {
				require.ErrorContains(t, err, test.err)
				require.True(t, apierrors.HasStatusCause(err, CauseNoAccess))
				return
			}
			require.NoError(t, err)
			entry := client.Provider()
			assert.Equal(t, configv1alpha1.DefaultProviderName, entry.Name)
			assert.Equal(t, test.server, entry.Cluster.Server)
			assert.Equal(t, []inventoryv1alpha1.AccessProvider{entry}, pool.AccessProviders(test.profile))
			again := adopted()
			again.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{entry}
			assert.Same(t, client, clientOf(t, pool, again), "the entry that a grant records leads to the same member")
		})
	}
}

// The entry that a Secret implies follows what is in the Secret.
func TestPool_AccessProviders(t *testing.T) {
	secrets := memberSecret(kubeconfig(t, memberURL, nil, nil))
	pool := newTestPool(t, DefaultConfig(), secrets, nil)
	own := profileFor(`{"name":"m"}`)
	assert.Equal(t, own.Status.AccessProviders, pool.AccessProviders(own), "an entry of a configured provider wins")
	before := pool.AccessProviders(adopted("another"))
	secrets["clusterpass-system/m"].Data["kubeconfig"] = kubeconfig(t, "https://elsewhere.example.com", nil, nil)
	assert.NotEqual(t, before, pool.AccessProviders(adopted("another")))
	delete(secrets, "clusterpass-system/m")
	assert.Equal(t, adopted("another").Status.AccessProviders, pool.AccessProviders(adopted("another")), "there is no access")
}

// A grant records the Secret that there is, also after the same kubeconfig was moved to another
// one.
func TestPool_MovedSecret(t *testing.T) {
	secrets := memberSecret(kubeconfig(t, memberURL, nil, nil))
	pool := newTestPool(t, DefaultConfig(), secrets, nil)
	before := clientOf(t, pool, adopted())
	moved := secrets["clusterpass-system/m"]
	delete(secrets, "clusterpass-system/m")
	moved.Name = "n"
	secrets["clusterpass-system/n"] = moved
	after := clientOf(t, pool, adopted())
	assert.NotSame(t, before, after)
	assert.JSONEq(t, `{"name":"n","namespace":"clusterpass-system"}`, string(after.Provider().Cluster.Extensions[0].Extension.Raw))
}

// A profile that no Secret names causes no call to the hub, where the cache alone says which do.
func TestPool_ForWithoutStoredOf(t *testing.T) {
	pool := newLaggingPool(t)
	pool.stored.add("m", kubeconfig(t, memberURL, nil, nil))
	for range 2 {
		_, err := pool.For(t.Context(), adopted("another"))
		require.ErrorContains(t, err, "no Secret with label")
	}
	assert.Zero(t, pool.reads)
	pool.cached.add("m", kubeconfig(t, memberURL, nil, nil))
	clientOf(t, pool, adopted("another"))
}

// A Secret leads to no other cluster than it was made for.
func TestClient_Joined(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), named("a", ""))
	secrets := memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil))
	pool := newTestPool(t, DefaultConfig(), secrets, nil)
	unknown := clientOf(t, pool, adopted())
	assert.Empty(t, unknown.Joined())
	for _, joined := range []types.UID{"a", "b"} {
		secrets["clusterpass-system/m"].Annotations[MemberUIDAnnotation] = string(joined)
		client := clientOf(t, pool, adopted())
		assert.NotSame(t, unknown, client)
		assert.Equal(t, joined, client.Joined())
		for range 2 {
			uid, err := client.MemberUID(t.Context())
			if joined == "a" {
				require.NoError(t, err)
				assert.Equal(t, joined, uid)
				continue
			}
			require.ErrorContains(t, err, "its Secret leads to another cluster than it was made for")
			assert.True(t, apierrors.IsConflict(err))
			assert.True(t, apierrors.HasStatusCause(err, CauseIdentity))
		}
	}
}

// A Secret that was made a moment ago counts, and one list serves many.
func TestSecretInformers_StoredOf(t *testing.T) {
	named := func(name, profiles string) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
			ObjectMeta: metav1.ObjectMeta{
				Namespace: "clusterpass-system", Name: name, Labels: map[string]string{KubeconfigLabel: "true"},
				Annotations: map[string]string{ClusterProfileAnnotation: profiles},
			},
		}
	}
	scheme := metadatafake.NewTestScheme()
	require.NoError(t, metav1.AddMetaToScheme(scheme))
	unlabelled := named("unlabelled", "default/bravelion")
	unlabelled.Labels = nil
	stored := metadatafake.NewSimpleMetadataClient(scheme, named("m", "default/bravelion"), named("n", "default/smartfish"), unlabelled)
	secrets := NewSecretInformers(fake.NewClientset(), stored, nil, DefaultConfig())
	for name, want := range map[string][]string{"bravelion": {"m"}, "smartfish": {"n"}, "whalehub": nil} {
		found, err := secrets.StoredOf(t.Context(), "default", name)
		require.NoError(t, err)
		var names []string
		for _, secret := range found {
			names = append(names, secret.GetName())
		}
		assert.Equal(t, want, names)
	}
	pool, err := NewPool(Options{Config: DefaultConfig(), Secrets: fakeSecrets{}, StoredOf: secrets.StoredOf,
		Stored: func(context.Context, string, string) (*corev1.Secret, error) {
			return memberSecret(kubeconfig(t, memberURL, nil, nil))["clusterpass-system/m"], nil
		}})
	require.NoError(t, err)
	_, err = pool.Cached(t.Context(), adopted())
	require.ErrorContains(t, err, "no Secret with label", "the cache is behind")
	clientOf(t, pool, adopted())
}

func TestSecretProfiles(t *testing.T) {
	secret := &corev1.Secret{}
	assert.Empty(t, SecretProfiles(secret))
	secret.Annotations = map[string]string{ClusterProfileAnnotation: " a/b,c/d , ,e,/f,g/,h/i/j"}
	assert.Equal(t, []types.NamespacedName{{Namespace: "a", Name: "b"}, {Namespace: "c", Name: "d"}}, SecretProfiles(secret))
	assert.True(t, IsSecretOf(secret, "c", "d"))
	assert.False(t, IsSecretOf(secret, "c", "b"))
	var many []string
	for i := range 2 * MaxSecretProfiles {
		many = append(many, fmt.Sprintf("n/%d", i))
	}
	secret.Annotations[ClusterProfileAnnotation] = strings.Join(many, ",")
	assert.Len(t, SecretProfiles(secret), MaxSecretProfiles)
}

// A mark on a Secret is for all of its profiles, or for those that it names.
func TestLeavingOf(t *testing.T) {
	secret := &corev1.Secret{}
	marked := func(annotation, value string) []bool {
		secret.Annotations = map[string]string{ClusterProfileAnnotation: "a/b,x/y", annotation: value}
		return []bool{LeavingOf(secret, "a", "b") != nil, LeavingOf(secret, "x", "y") != nil, isMarked(secret)}
	}
	assert.Equal(t, []bool{false, false, false}, marked("other", ""))
	assert.Equal(t, []bool{true, true, true}, marked(LeavingAnnotation, "2026-05-04T12:00:00Z"))
	assert.Equal(t, []bool{true, true, true}, marked(LeavingAnnotation, ""), "the time does not matter")
	assert.Equal(t, []bool{false, true, true}, marked(LeavingProfilesAnnotation, "other/z, x/y"))
	assert.Equal(t, []bool{false, false, false}, marked(LeavingProfilesAnnotation, "a/y"))
}

// One of two profiles of a Secret leaves: its grants can be revoked, and nobody gets a token for
// it.
func TestPool_LeavingProfile(t *testing.T) {
	secrets := memberSecret(kubeconfig(t, memberURL, nil, nil))
	only := secrets["clusterpass-system/m"]
	only.Annotations[ClusterProfileAnnotation] = "team/bravelion,default/bravelion"
	only.Annotations[LeavingProfilesAnnotation] = "default/bravelion"
	pool := newTestPool(t, DefaultConfig(), secrets, nil)
	stays := adopted()
	stays.Namespace, stays.UID = "team", "another"
	assert.NotNil(t, pool.CachedLeaving(adopted()))
	assert.Nil(t, pool.CachedLeaving(stays))
	for _, profile := range []*inventoryv1alpha1.ClusterProfile{adopted(), stays} {
		_, err := pool.For(t.Context(), profile)
		require.NoError(t, err)
	}
}
