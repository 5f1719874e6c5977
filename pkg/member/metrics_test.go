// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/testutil"
	testclock "k8s.io/utils/clock/testing"
)

// gauges returns the gauges of a pool by "name cluster".
func gauges(t *testing.T, pool *Pool) map[string]float64 {
	t.Helper()
	registry := metrics.NewKubeRegistry()
	registry.CustomMustRegister(&collector{pool: pool})
	families, err := registry.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := strings.TrimPrefix(family.GetName(), "clusterpass_member_")
			all[name+" "+metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
		}
	}
	return all
}

// The gauges are those of the clients in use.
func TestMetrics_Gauges(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	config := DefaultConfig()
	pool := newTestPool(t, config, memberSecret(kubeconfig(t, memberURL, nil, nil)), clock)
	assert.Empty(t, gauges(t, pool))

	client := clientOf(t, pool, profileFor(`{"name":"m"}`))
	replacement := clientOf(t, pool, uid(profileFor(`{"name":"m"}`), "uid-2"))
	expect := func(words string, inFlight, state float64) {
		t.Helper()
		assert.Equal(t, map[string]float64{"calls_in_flight default/bravelion": inFlight, "breaker_state default/bravelion": state},
			gauges(t, pool), words)
	}
	expect("nothing has happened yet", 0, 0)

	enter := func(c *Client) *call {
		t.Helper()
		call, err := c.gate.enter(t.Context())
		require.NoError(t, err)
		return call
	}
	calls := []*call{enter(client), enter(replacement)}
	expect("a profile and the one that it replaces have one name", 2, 0)
	for _, call := range calls {
		call.end(answered, nil)
	}
	for range config.Limits.Breaker.Failures {
		enter(client).end(failed, errors.New("no answer"))
	}
	expect("one of the two breakers is open", 0, 2)
	clock.Step(time.Duration(config.Limits.Breaker.OpenSeconds) * time.Second)
	expect("the next call is the probe", 0, 1)
	probe := enter(client)
	expect("the probe is under way", 1, 1)
	probe.end(answered, nil)
	expect("the probe was answered", 0, 0)

	pool.Forget("uid-1")
	expect("one client is left", 0, 0)
	pool.Forget("uid-2")
	assert.Empty(t, gauges(t, pool), "the clients are closed")
}

func TestCallResult(t *testing.T) {
	for name, test := range map[string]struct {
		code int
		err  error
		want string
	}{
		"an answer":                         {code: http.StatusOK, want: "Answered"},
		"not found":                         {code: http.StatusNotFound, want: "Answered"},
		"a conflict":                        {code: http.StatusConflict, want: "Answered"},
		"a credential that is not accepted": {code: http.StatusUnauthorized, want: "MemberUnauthorized"},
		"rights that are missing":           {code: http.StatusForbidden, want: "MemberForbidden"},
		"a member's own mistake":            {code: http.StatusInternalServerError, want: "MemberAnswer"},
		"an answer that says to come later": {err: apierrors.NewTooManyRequests("", 1), want: "MemberThrottled"},
		"no connection":                     {err: &failure{cause: CauseUnreachable}, want: "MemberUnreachable"},
		"a caller that goes away":           {err: endOfContext(cancelled()), want: "Cancelled"},
		"an error that nobody knows":        {err: errors.New("token=secret"), want: "MemberAnswer"},
	} {
		t.Run(name, func(t *testing.T) {
			result := callResult(&http.Response{StatusCode: test.code}, test.err)
			assert.Equal(t, test.want, result)
			assert.Contains(t, callResults, result)
		})
	}
}

func TestMetrics_Calls(t *testing.T) {
	server := newMemberServer(t, time.Now().Add(time.Hour), unauthorized)
	pool := newTestPool(t, DefaultConfig(), memberSecret(kubeconfig(t, server.URL, server.ca.pem, nil)), nil)
	RegisterMetrics(pool)
	calls.Reset()
	credentials.Reset()

	client := clientOf(t, pool, profileFor(`{"name":"m"}`))
	clientOf(t, pool, profileFor(`{"name":"m"}`)) // nothing is obtained a second time
	_, err := pool.For(t.Context(), uid(profileFor(`{"name":"missing"}`), "uid-2"))
	require.Error(t, err)
	nowhere := uid(profileFor(""), "uid-3")
	nowhere.Name, nowhere.Status.AccessProviders = "nowhere", nil
	_, err = pool.For(t.Context(), nowhere)
	require.Error(t, err)
	require.Error(t, list(t.Context(), client))

	provider := pool.providers[0].name
	testutil.AssertVectorCount(t, "clusterpass_member_credentials_total", map[string]string{"provider": provider, "result": "Obtained"}, 1)
	testutil.AssertVectorCount(t, "clusterpass_member_credentials_total", map[string]string{"provider": provider, "result": "Refused"}, 1)
	testutil.AssertVectorCount(t, "clusterpass_member_credentials_total", map[string]string{"provider": "", "result": "Refused"}, 1)
	testutil.AssertVectorCount(t, "clusterpass_member_calls_total", map[string]string{"credential": "Own", "result": "MemberUnauthorized"}, 1)
	testutil.AssertVectorCount(t, "clusterpass_member_calls_total", map[string]string{"credential": "Minted"}, 0)
}

// Runs of plugins are counted by a few results.
func TestMetrics_PluginRuns(t *testing.T) {
	RegisterMetrics(newTestPool(t, DefaultConfig(), fakeSecrets{}, nil))
	pluginRuns.Reset()
	for _, status := range []string{
		"no_error", "plugin_execution_error", "plugin_not_found_error", "client_internal_error", "of a later release",
	} {
		pluginCalls{}.Increment(77, status)
	}
	for result, want := range map[string]int{"OK": 1, "Failed": 2, "NotFound": 1, "NotStarted": 1} {
		testutil.AssertVectorCount(t, "clusterpass_member_credential_plugin_runs_total", map[string]string{"result": result}, want)
	}
}
