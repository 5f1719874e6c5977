// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/testenv"
)

// namesCluster are the metrics that name a cluster: as many series as there are clusters, and no
// more.
var namesCluster = []string{"clusterpass_member_calls_in_flight{", "clusterpass_member_breaker_state{"}

// Readiness and metrics are named as documented.
func TestServer_ReadinessAndMetrics(t *testing.T) {
	mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "measured", "view"))
	direct := testenv.Kube(t, testenv.Must[*rest.Config](t)(shared.Server.DirectConfig("admin", "system:masters")))
	tests := map[string][]string{
		"/readyz?verbose": {"[+]etcd ok", "[+]clusterpass-aggregator-ca ok", "[+]clusterpass-member-secrets ok", "[+]informer-sync ok"},
		"/livez?verbose":  {"[+]ping ok"},
		"/metrics": {
			`clusterpass_token_requests_total{result="Issued"}`,
			`clusterpass_mint_phase_duration_seconds_count{phase="authorize",result="OK"}`,
			`clusterpass_mint_phase_duration_seconds_count{phase="record",result="OK"}`,
			`clusterpass_mint_phase_duration_seconds_count{phase="ensure",result="OK"}`,
			`clusterpass_mint_phase_duration_seconds_count{phase="issue",result="OK"}`,
			`clusterpass_mint_phase_duration_seconds_count{phase="settle",result="OK"}`,
			"apiserver_flowcontrol_",
		},
	}
	for path, wants := range tests {
		t.Run(path, func(t *testing.T) {
			body := string(testenv.Must[[]byte](t)(direct.CoreV1().RESTClient().Get().RequestURI(path).DoRaw(t.Context())))
			for _, want := range wants {
				assert.Contains(t, body, want)
			}
			for line := range strings.Lines(body) {
				if strings.Contains(line, "bravelion") {
					assert.True(t, slices.ContainsFunc(namesCluster, func(gauge string) bool { return strings.HasPrefix(line, gauge) }), line)
				}
			}
		})
	}
}
