// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"cmp"
	"errors"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	clientmetrics "k8s.io/client-go/tools/metrics"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

// Whose credential a call uses; values of a metric label.
const (
	credentialOwn    = "Own"
	credentialMinted = "Minted"
)

// Results in the metrics besides the causes of Client.Error.
const (
	resultAnswered = "Answered"
	resultObtained = "Obtained"
	resultRefused  = "Refused"
	resultFailed   = "Failed"
)

// pluginResults maps what client-go reports about a run of a credential plugin
// (k8s.io/client-go/plugin/pkg/client/auth/exec) to the label value of our metric.
var pluginResults = map[string]string{
	"no_error":               "OK",
	"plugin_execution_error": resultFailed,
	"plugin_not_found_error": "NotFound",
	"client_internal_error":  "NotStarted",
}

// callResults are all results of a call.
var callResults = []string{
	resultAnswered, string(CauseUnreachable), string(CauseTimeout), string(CauseTLS), string(CausePlugin), string(CauseUnauthorized),
	string(CauseForbidden), string(CauseRedirect), string(CauseThrottled), string(CauseBusy), string(CauseBreakerOpen), string(CauseAnswer),
	string(causeCancelled),
}

// Only the gauges have a label with the cluster: they exist only as long as its client. KEP-5339
// asks clients of access providers to count the credentials that they obtain, by provider and
// result.
var (
	calls = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "clusterpass",
		Name:      "member_calls_total",
		Help: "Calls to member clusters, by credential (Own: clusterpass's; Minted: a token of a grant, which is tried out) " +
			"and by result: Answered, Cancelled, or the cause in the answer to the requester.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"credential", "result"})

	credentials = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace: "clusterpass",
		Name:      "member_credentials_total",
		Help: "Attempts to get access to a member cluster from its ClusterProfile, by access provider (empty: it has none that is configured) " +
			"and by result: Obtained or Refused.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"provider", "result"})

	pluginRuns = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "clusterpass",
		Name:           "member_credential_plugin_runs_total",
		Help:           "Runs of credential plugins, by result: OK, Failed, NotFound or NotStarted.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"result"})

	inFlightDesc = metrics.NewDesc("clusterpass_member_calls_in_flight",
		"Calls to a member cluster that are under way, by namespace/name of its ClusterProfile.", []string{"cluster"}, nil, metrics.ALPHA, "")

	breakerDesc = metrics.NewDesc("clusterpass_member_breaker_state",
		"State of the breaker of a member cluster, by namespace/name of its ClusterProfile: 0 closed, 1 half-open (one call tries the member, "+
			"or the next one will), 2 open (the member is not contacted).", []string{"cluster"}, nil, metrics.ALPHA, "")

	registerOnce sync.Once
)

// RegisterMetrics registers the metrics of this package with the legacy registry. The gauges show
// the clients of p.
func RegisterMetrics(p *Pool) {
	registerOnce.Do(func() {
		legacyregistry.MustRegister(calls, credentials, pluginRuns)
		legacyregistry.CustomMustRegister(&collector{pool: p})
		clientmetrics.Register(clientmetrics.RegisterOpts{ExecPluginCalls: pluginCalls{}})
		p.initMetrics()
	})
}

// initMetrics starts the counters at zero. Prometheus sees no increase in a counter that appears
// with its first count.
func (p *Pool) initMetrics() {
	for _, result := range callResults {
		calls.WithLabelValues(credentialOwn, result)
		calls.WithLabelValues(credentialMinted, result)
	}
	for _, provider := range append([]namedProvider{{}}, p.providers...) {
		credentials.WithLabelValues(provider.name, resultRefused)
		credentials.WithLabelValues(provider.name, resultObtained)
	}
	for _, result := range pluginResults {
		pluginRuns.WithLabelValues(result)
	}
}

// callResult returns the result of a call that was answered with resp or ended with err.
func callResult(resp *http.Response, err error) string {
	if failed, ok := errors.AsType[*failure](err); ok {
		return string(failed.cause)
	}
	code := http.StatusInternalServerError
	if err == nil {
		code = resp.StatusCode
	} else if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		code = int(status.Status().Code)
	}
	cause := causeOfCode(code)
	if cause == CauseAnswer && code < 500 {
		return resultAnswered // "not found", conflicts and similar are normal answers
	}
	return string(cause)
}

// pluginCalls counts what client-go reports. It implements clientmetrics.CallsMetric.
type pluginCalls struct{}

// Increment implements clientmetrics.CallsMetric. The exit code is no label, because plugins choose
// it freely.
func (pluginCalls) Increment(_ int, status string) {
	pluginRuns.WithLabelValues(cmp.Or(pluginResults[status], resultFailed)).Inc()
}

// collector reads the clients of a pool at each scrape.
type collector struct {
	metrics.BaseStableCollector
	pool *Pool
}

// DescribeWithStability implements metrics.StableCollector.
func (*collector) DescribeWithStability(ch chan<- *metrics.Desc) {
	ch <- inFlightDesc
	ch <- breakerDesc
}

// CollectWithStability implements metrics.StableCollector.
func (c *collector) CollectWithStability(ch chan<- metrics.Metric) {
	for name, now := range c.pool.activity() {
		ch <- metrics.NewLazyConstMetric(inFlightDesc, metrics.GaugeValue, float64(now.calls), name.String())
		ch <- metrics.NewLazyConstMetric(breakerDesc, metrics.GaugeValue, float64(now.breaker), name.String())
	}
}

// activity is the current load on a member.
type activity struct {
	calls   int
	breaker breakerState
}

// activity returns the current load on each member with a client. A ClusterProfile and the one that
// it has replaced have the same name: their calls are added up, and the state is that of the
// breaker that is further open.
func (p *Pool) activity() map[types.NamespacedName]activity {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[types.NamespacedName]activity{}
	for name, c := range p.clients {
		if c.client == nil {
			continue
		}
		a, gate := all[name.NamespacedName], c.client.gate
		all[name.NamespacedName] = activity{calls: a.calls + gate.inFlight(), breaker: max(a.breaker, gate.breaker.state())}
	}
	return all
}
