// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/cache"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// platformConfig reads clusters of Karmada, whose profiles are in namespace fleet, and of Cluster
// API in namespace team.
func platformConfig() *configv1alpha1.AccessConfiguration {
	config := &configv1alpha1.AccessConfiguration{Providers: []configv1alpha1.AccessProvider{
		{Name: "karmada", KarmadaSecret: &configv1alpha1.KarmadaSecretProvider{ProfileNamespace: "fleet"}},
		{Name: "cluster-api", ClusterAPISecret: &configv1alpha1.ClusterAPISecretProvider{Namespaces: []string{"team"}}},
	}}
	configScheme().Default(config)
	return config
}

// fakeClusters are Clusters of Karmada by name.
type fakeClusters map[string]*KarmadaCluster

func (f fakeClusters) KarmadaCluster(name string) (*KarmadaCluster, error) {
	if cluster, ok := f[name]; ok {
		return cluster, nil
	}
	return nil, apierrors.NewNotFound(KarmadaClusterResource.GroupResource(), name)
}

// karmadaObject returns the Cluster bravelion of Karmada, with changes of its spec.
func karmadaObject(change map[string]any) *unstructured.Unstructured {
	spec := map[string]any{
		"syncMode": "Push", "apiEndpoint": memberURL,
		"secretRef": map[string]any{"namespace": "karmada-cluster", "name": "bravelion"},
	}
	maps.Copy(spec, change)
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster",
		"metadata": map[string]any{"name": "bravelion", "uid": "uid-b"}, "spec": spec,
	}}
}

// platformProfile returns a profile with an entry of a provider, whose server is somebody's own.
func platformProfile(namespace, name, manager, provider string) *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "uid-1"},
		Spec:       inventoryv1alpha1.ClusterProfileSpec{ClusterManager: inventoryv1alpha1.ClusterManager{Name: manager}},
		Status: inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{{
			Name: provider, Cluster: clientcmdv1.Cluster{Server: "https://elsewhere.example.com"},
		}}},
	}
}

// refusedOrFor asks pool for profile's access: the error must have want, or, if that is empty, the
// access lead to server.
func refusedOrFor(t *testing.T, pool *Pool, profile *inventoryv1alpha1.ClusterProfile, want, server string) {
	t.Helper()
	entry, impliedErr := pool.Implied(profile, profile.Status.AccessProviders[0].Name)
	client, err := pool.For(t.Context(), profile)
	if want == "" {
		require.NoError(t, err)
		assert.Equal(t, server, client.cluster.Server)
		assert.True(t, client.uid.required, "another cluster may take its place")
		if profile.Spec.ClusterManager.Name != "" {
			assert.Equal(t, server, client.Provider().Cluster.Server, "what grants note")
		}
		require.NoError(t, impliedErr)
		assert.Equal(t, client.cluster, entry.Cluster)
		return
	}
	status := statusBecause(t, err, CauseNoAccess)
	assert.Equal(t, int32(http.StatusServiceUnavailable), status.Code)
	assert.Contains(t, status.Message, want)
	require.ErrorContains(t, impliedErr, want)
	assert.NotContains(t, impliedErr.Error(), "hub-token")
}

func TestKarmadaProvider(t *testing.T) {
	ca := newAuthority(t, "ca")
	other := map[string]any{"namespace": "karmada-cluster", "name": "smartfish"}
	elsewhere := map[string]any{"namespace": "kube-system", "name": "bravelion"}
	for _, test := range []struct {
		name                     string
		namespace, profile, from string
		// version is the profile's resource version.
		version string
		spec    map[string]any
		secret  func(*corev1.Secret)
		// want is in the error; empty: the access leads to server.
		want, server string
	}{
		{name: "the Cluster says where, and the Secret has the credential", server: memberURL},
		{name: "host and port are an endpoint", spec: map[string]any{"apiEndpoint": "10.0.0.1:6443"}, server: "https://10.0.0.1:6443"},
		{name: "a proxy", spec: map[string]any{"proxyURL": "http://proxy:3128"}, server: memberURL},
		{name: "the profile of a grant whose profile is deleted has no manager", from: "-", server: memberURL},
		{name: "a profile of another namespace", namespace: "tenant", want: "only ClusterProfiles of namespace fleet"},
		{name: "a profile of another manager", from: "theirs", want: "is not karmada.clusterpass.dev"},
		{name: "a profile without a manager", from: "-", version: "1", want: "is not karmada.clusterpass.dev"},
		{name: "no Cluster of that name", profile: "smartfish", want: "there is no Cluster smartfish of Karmada"},
		{name: "insecure TLS", spec: map[string]any{"insecureSkipTLSVerification": true}, want: "insecureSkipTLSVerification"},
		{name: "headers for a proxy", want: "proxyHeader",
			spec: map[string]any{"proxyURL": "http://proxy:3128", "proxyHeader": map[string]any{"a": "b"}}},
		{name: "headers without a proxy are ignored", spec: map[string]any{"proxyHeader": map[string]any{"a": "b"}}, server: memberURL},
		{name: "a proxy with a password", spec: map[string]any{"proxyURL": "http://u:hub-token@proxy"}, want: "proxy-url must not have"},
		{name: "another cluster's Secret", spec: map[string]any{"secretRef": other}, want: "must name a Secret of the same name"},
		{name: "a Secret elsewhere", spec: map[string]any{"secretRef": elsewhere}, want: `are read from namespace "kube-system", only from`},
		{name: "pull mode", spec: map[string]any{"secretRef": nil, "apiEndpoint": ""}, want: "pull mode"},
		{name: "an endpoint without TLS", spec: map[string]any{"apiEndpoint": "http://10.0.0.1"}, want: "must be https"},
		{name: "an endpoint with a password", spec: map[string]any{"apiEndpoint": "https://u:hub-token@a"}, want: "user name"},
		{name: "an endpoint without end", spec: map[string]any{"apiEndpoint": strings.Repeat("a", maxEndpoint+1)}, want: "can't be read"},
		{name: "an endpoint of another type", spec: map[string]any{"apiEndpoint": int64(1)}, want: "can't be read"},
		{name: "no Secret", secret: func(s *corev1.Secret) { s.Name = "gone" }, want: "there is no Secret karmada-cluster/bravelion"},
		{name: "no CA", secret: func(s *corev1.Secret) { delete(s.Data, "caBundle") }, want: "caBundle is empty"},
		{name: "a CA that is none", secret: func(s *corev1.Secret) { s.Data["caBundle"] = []byte("hub-token") }, want: "not PEM"},
		{name: "no token", secret: func(s *corev1.Secret) { delete(s.Data, "token") }, want: "token is empty"},
		{name: "a token with a line break", want: "not allowed in a bearer",
			secret: func(s *corev1.Secret) { s.Data["token"] = []byte("hub-token\nx") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "karmada-cluster", Name: "bravelion"},
				Data:       map[string][]byte{"token": []byte("hub-token"), "caBundle": ca.pem},
			}
			if test.secret != nil {
				test.secret(secret)
			}
			secrets := fakeSecrets{secret.Namespace + "/" + secret.Name: secret}
			pool, err := NewPool(Options{Config: platformConfig(), Secrets: secrets,
				Karmada: fakeClusters{"bravelion": NewKarmadaCluster(karmadaObject(test.spec))}})
			require.NoError(t, err)
			profile := platformProfile("fleet", "bravelion", KarmadaManager, "karmada")
			profile.Namespace = cmp.Or(test.namespace, profile.Namespace)
			profile.Name = cmp.Or(test.profile, profile.Name)
			profile.Spec.ClusterManager.Name = cmp.Or(test.from, KarmadaManager)
			profile.ResourceVersion = test.version
			if test.from == "-" {
				profile.Spec.ClusterManager.Name = ""
			}
			refusedOrFor(t, pool, profile, test.want, test.server)
		})
	}
	t.Run("a program that reads no Clusters knows nothing", func(t *testing.T) {
		pool, err := NewPool(Options{Config: platformConfig(), Secrets: fakeSecrets{}})
		require.NoError(t, err)
		_, err = pool.Implied(platformProfile("fleet", "bravelion", KarmadaManager, "karmada"), "karmada")
		assert.True(t, IsUnread(err), "%v", err)
	})
}

func TestClusterAPIProvider(t *testing.T) {
	ca := newAuthority(t, "ca")
	for _, test := range []struct {
		name                           string
		namespace, profile, from, want string
		secret                         func(*corev1.Secret)
	}{
		{name: "the Secret of the profile's name has the kubeconfig"},
		{name: "a profile of another namespace", namespace: "tenant", want: `are read from namespace "tenant", only from team`},
		{name: "a profile of another manager", from: "theirs", want: "is not cluster-api.clusterpass.dev"},
		{name: "a profile of another name", profile: "smartfish", want: "there is no Secret team/smartfish-kubeconfig"},
		{name: "a Secret with the label of another cluster", want: "is not Cluster API's for this cluster",
			secret: func(s *corev1.Secret) { s.Labels[clusterAPINameLabel] = "smartfish" }},
		{name: "a Secret without the label", want: "is not Cluster API's", secret: func(s *corev1.Secret) { s.Labels = nil }},
		{name: "a Secret of another type", want: "is not Cluster API's", secret: func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }},
		{name: "a Secret that names the profile, as those of joined members", want: "is not Cluster API's", secret: func(s *corev1.Secret) {
			s.Labels = map[string]string{KubeconfigLabel: labelled}
			s.Annotations = map[string]string{ClusterProfileAnnotation: "team/bravelion"}
		}},
		{name: "another key", want: `key "value" of the Secret team/bravelion-kubeconfig is empty`,
			secret: func(s *corev1.Secret) { s.Data = map[string][]byte{"kubeconfig": s.Data["value"]} }},
		{name: "what is no kubeconfig", want: "it is not a kubeconfig", secret: func(s *corev1.Secret) { s.Data["value"] = []byte("hub-token") }},
		{name: "insecure TLS", want: "insecure-skip-tls-verify", secret: func(s *corev1.Secret) {
			s.Data["value"] = kubeconfig(t, memberURL, ca.pem, func(e entries) { e.InsecureSkipTLSVerify = true })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			secret := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{
					Namespace: "team", Name: "bravelion-kubeconfig", Labels: map[string]string{clusterAPINameLabel: "bravelion"},
				},
				Type: clusterAPISecretType, Data: map[string][]byte{"value": kubeconfig(t, memberURL, ca.pem, nil)},
			}
			if test.secret != nil {
				test.secret(secret)
			}
			pool, err := NewPool(Options{Config: platformConfig(), Secrets: fakeSecrets{"team/bravelion-kubeconfig": secret}})
			require.NoError(t, err)
			profile := platformProfile(cmp.Or(test.namespace, "team"), cmp.Or(test.profile, "bravelion"),
				cmp.Or(test.from, ClusterAPIManager), "cluster-api")
			refusedOrFor(t, pool, profile, test.want, memberURL)
		})
	}
}

func TestPlatformSecrets_Keep(t *testing.T) {
	data := map[string][]byte{"value": []byte("a"), "tls.key": []byte("b"), "token": []byte("c"), "caBundle": []byte("d")}
	for name, test := range map[string]struct {
		secrets PlatformSecrets
		secret  string
		want    []string
	}{
		"of a kubeconfig of Cluster API the kubeconfig": {clusterAPISecrets("team"), "bravelion-kubeconfig", []string{"value"}},
		"of its other Secrets nothing":                  {clusterAPISecrets("team"), "bravelion-ca", nil},
		"of Karmada's Secrets the token and the CA": {
			karmadaSecrets(platformConfig().Providers[0].KarmadaSecret, "karmada-cluster"), "bravelion", []string{"token", "caBundle"}},
	} {
		t.Run(name, func(t *testing.T) {
			kept, err := test.secrets.keep(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: test.secret}, Data: data})
			require.NoError(t, err)
			var keys []string
			for key := range kept.(*corev1.Secret).Data {
				keys = append(keys, key)
			}
			assert.ElementsMatch(t, test.want, keys)
		})
	}
}

func TestSecretInformers_Platforms(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	capi := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "bravelion-kubeconfig", Labels: map[string]string{clusterAPINameLabel: "bravelion"},
	}, Data: map[string][]byte{"value": []byte("1")}}
	unlabelled := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "other"}}
	karmada := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "karmada-cluster", Name: "bravelion"}}
	hub := fake.NewClientset(capi, unlabelled, karmada)
	objects := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{KarmadaClusterResource: "ClusterList"}, karmadaObject(nil))
	secrets := NewSecretInformers(hub, nil, objects, platformConfig())
	_, err := secrets.KarmadaCluster("bravelion")
	require.ErrorContains(t, err, "not read yet")
	changes := make(chan cache.ObjectName, 10)
	require.NoError(t, secrets.OnChange(func(profile cache.ObjectName) { changes <- profile }))
	go secrets.Run(ctx)
	testenv.Eventually(t, func(context.Context) error {
		_, err := secrets.Get("team", "bravelion-kubeconfig")
		_, clusterErr := secrets.KarmadaCluster("bravelion")
		_, karmadaErr := secrets.Get("karmada-cluster", "bravelion")
		if err != nil || clusterErr != nil || karmadaErr != nil {
			return fmt.Errorf("%w, %w, %w", err, clusterErr, karmadaErr)
		}
		return nil
	})
	assert.True(t, secrets.Synced())
	_, err = secrets.KarmadaCluster("smartfish")
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	_, err = secrets.Get("team", "other")
	assert.True(t, apierrors.IsNotFound(err), "a Secret without Cluster API's label is not read: %v", err)
	_, err = secrets.Stored(ctx, "kube-system", "bravelion")
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	stored, err := secrets.Stored(ctx, "team", "bravelion-kubeconfig")
	require.NoError(t, err)
	assert.Equal(t, "bravelion-kubeconfig", stored.Name)
	assert.Empty(t, changes, "what is there at first is no change")

	rotated := capi.DeepCopy()
	rotated.Data["value"] = []byte("2")
	testenv.Update(t, hub.CoreV1().Secrets("team"), rotated)
	assert.Equal(t, cache.NewObjectName("team", "bravelion"), <-changes)
	heartbeat := karmadaObject(nil)
	heartbeat.Object["status"] = map[string]any{"beat": "1"}
	for _, next := range []*unstructured.Unstructured{heartbeat, karmadaObject(map[string]any{"apiEndpoint": "https://moved"})} {
		_, err = objects.Resource(KarmadaClusterResource).Update(ctx, next, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	assert.Equal(t, cache.NewObjectName("fleet", "bravelion"), <-changes)
	assert.Empty(t, changes, "a heartbeat is no change")
}

// The access of a profile that stands for another platform's cluster is that of its platform. No
// entry says anything else, whatever provider it is of.
func TestFind_Imported(t *testing.T) {
	config := platformConfig()
	config.Providers = slices.Insert(config.Providers, 0, DefaultConfig().Providers...)
	config.Providers = slices.Insert(config.Providers, 0, configv1alpha1.AccessProvider{Name: "plugin", Exec: &configv1alpha1.ExecProvider{}})
	providers := newProviders(config, nil)
	for _, test := range []struct{ manager, entry, want string }{
		{KarmadaManager, "unknown", "karmada"}, {KarmadaManager, "karmada", "karmada"},
		{KarmadaManager, "plugin", "karmada"}, {KarmadaManager, "cluster-api", "karmada"},
		{ClusterAPIManager, "unknown", "cluster-api"}, {ClusterAPIManager, configv1alpha1.DefaultProviderName, "cluster-api"},
		{"theirs", "unknown", ""},
	} {
		profile, want := platformProfile("team", "bravelion", test.manager, test.entry), test.want
		provider, entry, err := find(providers, naming(fakeSecrets{}), profile)
		if want == "" {
			require.ErrorContains(t, err, "no access provider that clusterpass is configured for")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, want, provider.name)
		assert.Equal(t, &inventoryv1alpha1.AccessProvider{Name: want}, entry)
	}
}

// What the status of an imported profile says does not count, not even for consumers of its access.
func TestPool_AccessProvidersOfImported(t *testing.T) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "karmada-cluster", Name: "bravelion"},
		Data:       map[string][]byte{"token": []byte("hub-token"), "caBundle": newAuthority(t, "ca").pem},
	}
	clusters := fakeClusters{"bravelion": NewKarmadaCluster(karmadaObject(nil))}
	pool, err := NewPool(Options{Config: platformConfig(), Secrets: fakeSecrets{"karmada-cluster/bravelion": secret}, Karmada: clusters})
	require.NoError(t, err)
	profile := platformProfile("fleet", "bravelion", KarmadaManager, "karmada")
	found := pool.AccessProviders(profile)
	require.Len(t, found, 1)
	assert.Equal(t, memberURL, found[0].Cluster.Server)
	clusters["bravelion"] = NewKarmadaCluster(karmadaObject(map[string]any{"apiEndpoint": "https://moved.example.com"}))
	assert.Equal(t, "https://moved.example.com", pool.AccessProviders(profile)[0].Cluster.Server)
}
