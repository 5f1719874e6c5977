// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ondemand

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

var (
	errNotRead = errors.New("the ConfigMaps are not read yet")
	errRefused = errors.New("may not watch ConfigMaps")
)

// hub has one ConfigMap in each of the namespaces a and b.
type hub struct {
	*Informers[corelisters.ConfigMapLister]
	client *fake.Clientset
	// refused is whether the informers cannot work, events counts what the handler received.
	refused atomic.Bool
	events  atomic.Int32

	mu     sync.Mutex
	opened []cache.SharedIndexInformer
}

func newHub(ctx context.Context) *hub {
	h := &hub{client: fake.NewClientset(
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "one"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "two"}},
	)}
	h.Informers = New(ctx, h.open, cache.ResourceEventHandlerFuncs{AddFunc: func(any) { h.events.Add(1) }}, errNotRead)
	return h
}

func (h *hub) open(_ context.Context, namespace string) (corelisters.ConfigMapLister, []cache.SharedIndexInformer, error) {
	if h.refused.Load() {
		return nil, nil, errRefused
	}
	configMaps := informers.NewSharedInformerFactoryWithOptions(h.client, 0, informers.WithNamespace(namespace)).Core().V1().ConfigMaps()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.opened = append(h.opened, configMaps.Informer())
	return configMaps.Lister(), []cache.SharedIndexInformer{configMaps.Informer()}, nil
}

// read starts the informers of a namespace, and returns the names of its ConfigMaps once they have
// been read.
func (h *hub) read(t *testing.T, namespace string) []string {
	t.Helper()
	var lister corelisters.ConfigMapLister
	require.Eventually(t, func() bool {
		var err error
		lister, err = h.Start(t.Context(), namespace)
		return err == nil
	}, time.Minute, time.Millisecond)
	list, err := lister.List(labels.Everything())
	require.NoError(t, err)
	var names []string
	for _, configMap := range list {
		names = append(names, configMap.Name)
	}
	return names
}

func TestInformers_Get(t *testing.T) {
	h := newHub(t.Context())
	_, err := h.Get("a")
	require.ErrorIs(t, err, errNotRead)
	assert.Empty(t, h.opened, "it starts nothing")
	h.read(t, "a")
	lister, err := h.Get("a")
	require.NoError(t, err)
	_, err = lister.ConfigMaps("a").Get("one")
	require.NoError(t, err)
	_, err = h.Get("b")
	require.ErrorIs(t, err, errNotRead, "each namespace starts by itself")
}

func TestInformers_Start(t *testing.T) {
	t.Run("a namespace is read alone, and the handler has received its objects", func(t *testing.T) {
		h := newHub(t.Context())
		assert.Equal(t, []string{"one"}, h.read(t, "a"))
		assert.Equal(t, int32(1), h.events.Load())
		assert.Equal(t, []string{"two"}, h.read(t, "b"))
		assert.Equal(t, int32(2), h.events.Load())
		assert.Len(t, h.opened, 2)
	})
	t.Run("all namespaces are read at once", func(t *testing.T) {
		assert.ElementsMatch(t, []string{"one", "two"}, newHub(t.Context()).read(t, metav1.NamespaceAll))
	})
	t.Run("what cannot work is not started, and tried again by the next call", func(t *testing.T) {
		h := newHub(t.Context())
		h.refused.Store(true)
		for range 2 {
			lister, err := h.Start(t.Context(), "a")
			require.ErrorIs(t, err, errRefused)
			assert.Nil(t, lister)
			_, err = h.Get("a")
			require.ErrorIs(t, err, errNotRead)
		}
		assert.Empty(t, h.client.Actions())
		h.refused.Store(false)
		assert.Equal(t, []string{"one"}, h.read(t, "a"))
	})
	t.Run("what was started stays when it could not be started any more", func(t *testing.T) {
		h := newHub(t.Context())
		h.read(t, "a")
		h.refused.Store(true)
		assert.Equal(t, []string{"one"}, h.read(t, "a"))
	})
	t.Run("of concurrent calls one starts the informers", func(t *testing.T) {
		h := newHub(t.Context())
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				if _, err := h.Start(t.Context(), "a"); err != nil {
					assert.ErrorIs(t, err, errNotRead)
				}
			})
		}
		callers.Wait()
		h.read(t, "a")
		started := 0
		for _, informer := range h.opened {
			if informer.HasSynced() {
				started++
			}
		}
		assert.Equal(t, 1, started)
		assert.Equal(t, int32(1), h.events.Load())
	})
	t.Run("the informers end with the context of New, and not with that of the call", func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		h := newHub(ctx)
		call, endCall := context.WithCancel(t.Context())
		_, err := h.Start(call, "a")
		if err != nil {
			require.ErrorIs(t, err, errNotRead)
		}
		endCall()
		assert.Equal(t, []string{"one"}, h.read(t, "a"))
		assert.False(t, h.opened[0].IsStopped())
		end()
		require.Eventually(t, h.opened[0].IsStopped, time.Minute, time.Millisecond)
	})
}
