// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/testutil"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/scheduling"
)

func TestProfiles(t *testing.T) {
	b := inventory{settings: settings{seed: 1}}
	t.Run("the same seed makes the same profile", func(t *testing.T) {
		first, again, other := newProfile(1, 3), newProfile(1, 3), newProfile(2, 3)
		assert.Equal(t, first, again)
		assert.NotEqual(t, first, other)
	})
	t.Run("a profile is about 1.3 KB", func(t *testing.T) {
		assert.InDelta(t, 1300, len(b.createRequest(fleetNamespace, 12345).body), 100)
	})
}

// serve returns a client for a server that answers with handler.
func serve(t *testing.T, http2 bool, handler http.HandlerFunc) *client {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	c, err := newClient(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	require.NoError(t, err)
	return c
}

// Every ClusterProfile is written once on both sides.
func TestInventory_Writes(t *testing.T) {
	var (
		mu      sync.Mutex
		written [2]map[string]int
		b       = inventory{settings: settings{objects: 200}}
	)
	for side := range b.clients {
		written[side] = map[string]int{}
		b.clients[side] = serve(t, true, func(_ http.ResponseWriter, r *http.Request) {
			var profile inventoryv1alpha1.ClusterProfile
			assert.NoError(t, json.NewDecoder(r.Body).Decode(&profile))
			mu.Lock()
			defer mu.Unlock()
			written[side][r.Method+" "+r.URL.Path+" "+profile.Name]++
		})
	}
	for _, m := range b.writes() {
		c, err := m.run(t.Context())
		require.NoError(t, err)
		assert.Zero(t, c.Failed)
	}

	// A twentieth or so more goes to the namespace of the warm-up.
	for side := range written {
		for i := range b.objects {
			create := "POST " + profilesPath(fleetNamespace) + " " + profileName(i)
			patch := "PATCH " + profilePath(fleetNamespace, i) + "/status "
			assert.Equal(t, 1, written[side][create], create)
			assert.Equal(t, 1, written[side][patch], patch)
		}
	}
	assert.Equal(t, written[ours], written[theirs])
}

// Nothing is taken for an answer that is none.
func TestClient_NoAnswer(t *testing.T) {
	tests := map[string]struct {
		http2   bool
		handler http.HandlerFunc
		want    string
	}{
		"another protocol than HTTP/2": {
			false, func(http.ResponseWriter, *http.Request) {}, "was answered over HTTP/1.1 and not HTTP/2",
		},
		"a refusal, with the server's words": {
			true, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"kind":"Status","message":"no such right"}`)
			}, "GET /x: 403 Forbidden: no such right",
		},
		"a throttled request, which is not retried": {
			true, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
			}, "GET /x: 429 Too Many Requests",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := serve(t, test.http2, test.handler)
			err := c.send(t.Context(), request{method: http.MethodGet, path: "/x"}, io.Discard)
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestClient_ListInPages(t *testing.T) {
	var asked []string
	c := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery)
		next := map[string]string{"": "b", "b": "c", "c": ""}[r.URL.Query().Get("continue")]
		fmt.Fprintf(w, `{"items":[],"metadata":{"continue":%q}}`, next)
	})
	require.NoError(t, c.listInPages(t.Context(), 0))
	assert.Equal(t, []string{"limit=500", "limit=500&continue=b", "limit=500&continue=c"}, asked)
}

func TestContinueToken(t *testing.T) {
	tests := map[string]struct{ page, want string }{
		"before the items":   {`{"metadata":{"continue":"abc","resourceVersion":"1"},"items":[]}`, "abc"},
		"after the items":    {`{"items":[{}],"metadata":{"resourceVersion":"1","continue":"abc"}}`, "abc"},
		"none in the last":   {`{"items":[{}],"metadata":{"resourceVersion":"1"}}`, ""},
		"an empty one is it": {`{"metadata":{"continue":"","resourceVersion":"1"},"items":[]}`, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, continueToken([]byte(test.page)))
		})
	}
}

func TestProcessMemory(t *testing.T) {
	m, err := processMemory(os.Getpid())
	require.NoError(t, err)
	assert.Positive(t, m.RSS)
	assert.GreaterOrEqual(t, m.Peak, m.RSS)

	_, err = processMemory(-1)
	assert.Error(t, err)
}

func TestParse(t *testing.T) {
	tests := map[string]struct {
		args    string
		wantErr string
	}{
		"nothing is fine":               {"", ""},
		"all flags are fine":            {"-only tokens -objects 200 -duration 2s -runs 2 -seed 7 -o json", ""},
		"one part is fine":              {"-only placements", ""},
		"an unknown part":               {"-only everything", "-only is"},
		"objects not in hundredths":     {"-objects 150", "multiple of 100"},
		"no objects":                    {"-objects 0", "multiple of 100"},
		"a duration too short":          {"-duration 10ms", "at least 1s"},
		"no run":                        {"-runs 0", "at least 1"},
		"an unknown format":             {"-o yaml", "text or json"},
		"an argument that is no flag":   {"tokens", "no arguments"},
		"a flag that there is not":      {"-fast", "not defined"},
		"a duration that is a bare one": {"-duration 8", "invalid value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(strings.Fields(test.args), io.Discard)
			if test.wantErr == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.wantErr)
		})
	}
}

func TestReportText(t *testing.T) {
	c := comparison{
		Name: "token", Concurrency: 1, Ours: figures{Calls: 10, P50: 4.56, P99: 20, Rate: 123},
		Latency: ratio{Median: 1.5, Lowest: 1.25, Highest: 2}, Goal: "latency ratio at most 2.00", Met: true,
		Failed: 1, Failure: "broken",
	}
	r := report{Seconds: time.Second.Seconds(), Runs: []run{{Tokens: []comparison{c}}, {Tokens: []comparison{c}}}}
	var out strings.Builder
	r.writeText(&out)
	for _, want := range []string{
		"1.50 (1.25-2.00)", "4.56", "at most 2.00: met", "token at concurrency 1 failed: broken", "Run 2 of 2", "1.50 1.50",
	} {
		assert.Contains(t, out.String(), want)
	}
}

func TestPlacements_Pools(t *testing.T) {
	b := placements{settings: settings{seed: 1}}
	for _, pool := range []int{0, poolPlacements - 1} {
		placement := poolPlacement(pool)
		placement.Namespace = fleetNamespace
		policy, mistakes := scheduling.Compile(placement, []string{fleetNamespace})
		require.Empty(t, mistakes)
		fleet := scheduling.NewFleet()
		for i := range placedProfiles {
			cluster, err := scheduling.NewCluster(b.placedProfile(i), []*v1alpha1.ClusterScore{newScore(i)})
			require.NoError(t, err)
			cluster.Namespace = fleetNamespace
			fleet.Set(cluster, time.Now())
		}
		result := scheduling.NewPlan(fleet, policy).Run(time.Now())
		require.Len(t, result.Decisions, poolNumber)
		assert.Equal(t, profileName(best(pool)), result.Decisions[0].Name)
		assert.Equal(t, poolSize, result.Eligible)
	}
}

func TestWatched(t *testing.T) {
	w := &watched{firsts: map[string]string{}, annotations: map[string]string{}, news: make(chan struct{})}
	done := make(chan error)
	go func() { done <- w.wait(t.Context(), func() bool { return w.first("pool") == "a" }) }()
	slice := &inventoryv1alpha1.PlacementDecision{Decisions: make([]inventoryv1alpha1.ClusterDecision, 1)}
	slice.Decisions[0].ClusterProfileRef.Name = "a"
	slice.Labels = map[string]string{inventoryv1alpha1.DecisionKeyLabel: "pool"}
	w.show(slice)
	require.NoError(t, <-done)
	slice.Decisions = nil
	w.show(slice)
	assert.Empty(t, w.first("pool"))
}

func TestSum(t *testing.T) {
	all := testutil.NewMetrics()
	require.NoError(t, testutil.ParseMetrics(`a{verb="PUT",code="200"} 2
a{verb="PUT",code="409"} 1
a{verb="GET",code="200"} 4
`, &all))
	assert.InDelta(t, 3, sum(all, "a", map[string]string{"verb": "PUT"}), 0)
	assert.InDelta(t, 7, sum(all, "a", nil), 0)
	assert.Zero(t, sum(all, "b", nil))
}

// Heartbeats cause nothing.
func TestCost_Nothing(t *testing.T) {
	require.NoError(t, cost{}.nothing())
	require.ErrorContains(t, cost{Passes: 1}.nothing(), "heartbeats have caused")
	assert.Len(t, allPlacements(), 100)
}
