// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"
	testclock "k8s.io/utils/clock/testing"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// There is one client for a ClusterProfile and its access data.
func TestPool_For(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), ok)
	profile := profileFor(`{"name":"m"}`)
	type state struct {
		pool    *Pool
		secrets fakeSecrets
		profile *inventoryv1alpha1.ClusterProfile
	}
	for _, test := range []struct {
		name   string
		change func(*state)
		// same client as before; else the old one is closed.
		same bool
		// fails to give a client.
		fails bool
	}{
		{name: "nothing changes", change: func(*state) {}, same: true},
		{name: "something else of the profile changes", same: true, change: func(s *state) {
			s.profile = s.profile.DeepCopy()
			s.profile.Status.Version.Kubernetes, s.profile.ResourceVersion = "v1.37.2", "2"
		}},
		{name: "something else of the Secret changes", same: true, change: func(s *state) {
			s.secrets.add("m", s.secrets["clusterpass-system/m"].Data["kubeconfig"]).ResourceVersion = "2"
		}},
		{name: "the credential is rotated", change: func(s *state) {
			s.secrets["clusterpass-system/m"].Data["kubeconfig"] = kubeconfig(t, server.URL+"/", server.ca.pem, nil)
		}},
		{name: "the Secret is gone", fails: true, change: func(s *state) { delete(s.secrets, "clusterpass-system/m") }},
		{name: "the Secret is for another cluster now", fails: true, change: func(s *state) {
			s.secrets["clusterpass-system/m"].Annotations[ClusterProfileAnnotation] = "default/smartfish"
		}},
		{name: "the profile is forgotten", change: func(s *state) { s.pool.Forget("uid-1") }},
		{name: "another profile is forgotten", same: true, change: func(s *state) { s.pool.Forget("uid-2") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &state{secrets: memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), profile: profile}
			clock := testclock.NewFakeClock(time.Now())
			s.pool = newTestPool(t, DefaultConfig(), s.secrets, clock)
			gone := func(connections int) func() bool {
				return func() bool {
					clock.Step(retirement + time.Second)
					s.pool.disconnect(clock.Now().Add(-retirement))
					return server.connections() == connections
				}
			}
			first := clientOf(t, s.pool, s.profile)
			require.NoError(t, list(t.Context(), first))
			before := server.connections()

			test.change(s)
			second, err := s.pool.For(t.Context(), s.profile)
			require.Equal(t, test.fails, err != nil, "%v", err)
			if test.same {
				require.Same(t, first, second)
				assert.Equal(t, before, server.connections())
				return
			}
			require.NotSame(t, first, second)
			require.NoError(t, list(t.Context(), first), "who still holds it is not cut off")
			require.Eventually(t, gone(before-1), 10*time.Second, time.Millisecond, "it leaves no connection open")
		})
	}
}

// A cluster and the one that replaces it have a client each.
func TestPool_ForReplacedCluster(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), ok)
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), testclock.NewFakeClock(time.Now()))
	clientOf := func(u string) *Client { return clientOf(t, pool, uid(profileFor(`{"name":"m"}`), u)) }
	old, replacement := clientOf("uid-1"), clientOf("uid-2")
	require.NotSame(t, old, replacement)
	assert.Same(t, old, clientOf("uid-1"))
	assert.Same(t, replacement, clientOf("uid-2"))
	pool.Forget("uid-1")
	assert.NotSame(t, old, clientOf("uid-1"))
	assert.Same(t, replacement, clientOf("uid-2"))
}

// Many ask for the same client.
func TestPool_ForMany(t *testing.T) {
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, memberURL, nil, nil)), nil)
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		clients = map[*Client]bool{}
	)
	for range 32 {
		wg.Go(func() {
			client, err := pool.For(t.Context(), profileFor(`{"name":"m"}`))
			assert.NoError(t, err)
			mu.Lock()
			defer mu.Unlock()
			clients[client] = true
		})
	}
	wg.Wait()
	assert.Len(t, clients, 1)
}

// Idle clients are closed.
func TestPool_IdleClients(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), ok)
	clock := testclock.NewFakeClock(time.Now())
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), clock)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { pool.Run(ctx) })
	require.Eventually(t, clock.HasWaiters, 10*time.Second, time.Millisecond)
	size := func() int {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.clients)
	}
	get := func() *Client { return clientOf(t, pool, profileFor(`{"name":"m"}`)) }

	first := get()
	require.NoError(t, list(t.Context(), first))
	clock.Step(idleTimeout - time.Second)
	require.Same(t, first, get(), "it is in use")
	clock.Step(idleTimeout - time.Second)
	require.Never(t, func() bool { return size() == 0 }, 20*time.Millisecond, time.Millisecond)
	require.Eventually(t, func() bool {
		clock.Step(evictionPeriod)
		return size() == 0 && server.connections() == 0
	}, 10*time.Second, time.Millisecond)

	require.NoError(t, list(t.Context(), get()))
	cancel()
	wg.Wait()
	assert.Zero(t, size(), "at the end all are closed")
	require.Eventually(t, func() bool { return server.connections() == 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, list(t.Context(), get()), "requests that are still served get one")
}

func TestNewPool_InvalidConfig(t *testing.T) {
	_, err := NewPool(Options{Config: &configv1alpha1.AccessConfiguration{}})
	require.ErrorContains(t, err, "providers: Required")
}

// marked returns a Secret whose label says whether it has a member's kubeconfig.
func marked(namespace, name, label string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: name, Labels: map[string]string{KubeconfigLabel: label},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
	}}
}

func TestSecretInformers(t *testing.T) {
	config := DefaultConfig()
	config.Providers[0].KubeconfigSecret.Namespaces = []string{"a", "b"}
	hub := fake.NewClientset(
		marked("a", "one", "true"), marked("a", "other", "false"), marked("b", "two", "true"), marked("c", "three", "true"))
	secrets := NewSecretInformers(hub, nil, nil, config)
	assert.False(t, secrets.Synced())
	_, err := secrets.Get("a", "one")
	require.ErrorContains(t, err, "not read yet")

	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { secrets.Run(ctx) })
	require.Eventually(t, secrets.Synced, 10*time.Second, time.Millisecond)
	for _, name := range []types.NamespacedName{{Namespace: "a", Name: "one"}, {Namespace: "b", Name: "two"}} {
		found, err := secrets.Get(name.Namespace, name.Name)
		require.NoError(t, err)
		assert.Empty(t, found.ManagedFields)
	}
	for _, name := range []types.NamespacedName{{Namespace: "a", Name: "two"}, {Namespace: "c", Name: "three"}} {
		_, err := secrets.Get(name.Namespace, name.Name)
		assert.Error(t, err, "%s", name)
	}
	for _, action := range hub.Actions() {
		assert.Contains(t, []string{"a", "b"}, action.GetNamespace(), "no other namespace is asked for")
	}
	cancel()
	wg.Wait()
}

// No bodies are logged.
func TestQuiet(t *testing.T) {
	logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.Verbosity(10), ktesting.BufferLogs(true)))
	_, client := newMember(t, ok)
	logged := func() string { return logger.GetSink().(ktesting.Underlier).GetBuffer().String() }

	ctx := klog.NewContext(t.Context(), logger)
	klog.FromContext(Quiet(ctx)).WithName("n").WithValues("k", "v").V(7).Info("level 7")
	require.NoError(t, list(Quiet(ctx), client))
	assert.Contains(t, logged(), "level 7")
	assert.NotContains(t, logged(), "NamespaceList")
	require.NoError(t, list(ctx, client))
	assert.Contains(t, logged(), "NamespaceList", "what it is there for")
}
