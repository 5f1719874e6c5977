// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/fake"
)

// manyMembers is one API server that stands for many members: each has a profile, a kubeconfig and
// a client of its own.
type manyMembers struct {
	*httptest.Server

	kubeconfig  []byte
	connections atomic.Int64
	probes      atomic.Int64
}

func newManyMembers(tb testing.TB) *manyMembers {
	tb.Helper()
	m := &manyMembers{}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/readyz":
			m.probes.Add(1)
			plain(http.StatusOK, "ok")(w, r)
		case "/version":
			plain(http.StatusOK, `{"gitVersion": "v1.37.2"}`)(w, r)
		case "/api/v1/nodes":
			nodes()(w, r)
		default:
			plain(http.StatusNotFound, "")(w, r)
		}
	}))
	m.EnableHTTP2 = true
	m.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			m.connections.Add(1)
		}
	}
	m.StartTLS()
	tb.Cleanup(m.Close)
	var err error
	m.kubeconfig, err = kubeconfigOf(m.Server)
	require.NoError(tb, err)
	return m
}

// Get implements member.Secrets: each profile's Secret has its name.
func (m *manyMembers) Get(namespace, name string) (*corev1.Secret, error) {
	return secretOf(namespace, name, name, m.kubeconfig), nil
}

// Of implements member.Secrets: every profile names its Secret.
func (*manyMembers) Of(string, string) ([]*corev1.Secret, error) { return nil, nil }

// hub is what a Controller writes to; it applies nothing, and counts.
type hub struct {
	*Controller
	profiles []*inventoryv1alpha1.ClusterProfile
	writes   atomic.Int64
}

func newHub(tb testing.TB, m *manyMembers, count int) *hub {
	tb.Helper()
	h := &hub{}
	client := fake.NewSimpleClientset()
	client.PrependReactor("patch", "clusterprofiles", func(clienttesting.Action) (bool, runtime.Object, error) {
		h.writes.Add(1)
		return true, &inventoryv1alpha1.ClusterProfile{}, nil
	})
	h.Controller = newController(tb, m, client, Options{Recorder: &events.FakeRecorder{}, FactsPeriod: time.Hour, Clock: clock.RealClock{}})
	for i := range count {
		profile := testProfile()
		profile.Name, profile.UID = fmt.Sprintf("member-%d", i), types.UID(fmt.Sprintf("uid-%d", i))
		profile.Status.AccessProviders[0].Cluster.Extensions[0].Extension.Raw = fmt.Appendf(nil, `{"name":%q}`, profile.Name)
		h.profiles = append(h.profiles, profile)
	}
	return h
}

// round probes every member once, a hundred at a time.
func (h *hub) round(ctx context.Context) {
	var running sync.WaitGroup
	slots := make(chan struct{}, 100)
	for _, profile := range h.profiles {
		slots <- struct{}{}
		running.Go(func() {
			h.sync(ctx, profile)
			<-slots
		})
	}
	running.Wait()
}

// healthy gives each profile the status that a first round has led to.
func (h *hub) healthy() {
	for _, profile := range h.profiles {
		if next := desired(profile, h.of(profile)); next != nil {
			profile.Status = next.Status
		}
	}
}

// A thousand members are probed over one connection each.
func TestController_ThousandMembers(t *testing.T) {
	const count = 1000
	m := newManyMembers(t)
	h := newHub(t, m, count)
	before := heap()
	h.round(t.Context())
	t.Logf("%d KiB of heap for each member, both ends of its connection included", (heap()-before)/count>>10)
	h.healthy()
	assert.Equal(t, int64(count), h.writes.Load(), "each is new")
	connections := m.connections.Load()
	assert.LessOrEqual(t, connections, int64(count), "one for all calls to a member")

	h.writes.Store(0)
	for range 3 {
		h.round(t.Context())
	}
	assert.Equal(t, int64(4*count), m.probes.Load())
	assert.Equal(t, connections, m.connections.Load(), "connections are kept")
	assert.Zero(t, h.writes.Load(), "a healthy fleet causes no write")
}

// heap returns how many bytes of it are in use.
func heap() uint64 {
	goruntime.GC()
	var stats goruntime.MemStats
	goruntime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// A thousand probes are spread over the period.
func TestController_UntilNextSpread(t *testing.T) {
	h := newHub(t, newManyMembers(t), 1000)
	tenths := map[int]int{}
	for _, profile := range h.profiles {
		due := time.Duration(time.Now().UnixNano()) + h.untilNext(profile.UID)
		tenths[int(due%h.ProbePeriod*10/h.ProbePeriod)]++
	}
	for tenth, n := range tenths {
		assert.Less(t, n, 150, "in tenth %d of the period", tenth)
	}
	assert.Len(t, tenths, 10)
}

// BenchmarkProbe and BenchmarkBareGet tell what a probe costs over a GET by net/http of the same
// path on a connection that is kept. The server is in the same process, so both pay for it.
func BenchmarkProbe(b *testing.B) {
	h := newHub(b, newManyMembers(b), 1)
	h.round(b.Context())
	h.healthy()
	b.ReportAllocs()
	for b.Loop() {
		h.sync(b.Context(), h.profiles[0])
	}
}

func BenchmarkBareGet(b *testing.B) {
	m := newManyMembers(b)
	client := m.Client()
	b.ReportAllocs()
	for b.Loop() {
		answer, err := client.Get(m.URL + "/readyz")
		require.NoError(b, err)
		_ = answer.Body.Close()
	}
}
