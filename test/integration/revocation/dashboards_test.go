// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/test/testenv"
)

// Every metric of the dashboard and the alerts exists.
func TestDashboard_Metrics(t *testing.T) {
	newNamespace(t, "dashboards")
	g := mint(t, "dashboards", "bravelion", "dashboards", nil)
	deleteGrant(t, g)
	untilGone(t, g)
	scraped := sets.KeySet(testenv.Scrape(t, shared.Server)).Union(sets.KeySet(testenv.Scrape(t, shared.Manager)))
	for where, expression := range expressions(t) {
		names := metricsOf(expression)
		assert.NotEmpty(t, names, "%s: no metric found in %s", where, expression)
		for _, name := range names {
			assert.True(t, scraped.Has(name), "%s: neither program exposes %s", where, name)
		}
	}
}

// Every alert says what it means, and what to do.
func TestAlerts(t *testing.T) {
	seen := sets.New[string]()
	for _, rule := range alerts(t) {
		assert.NotEmpty(t, rule.Alert)
		assert.NotContains(t, seen, rule.Alert)
		seen.Insert(rule.Alert)
		for _, annotation := range []string{"summary", "runbook"} {
			assert.Regexp(t, `\.$`, rule.Annotations[annotation], "%s: the %s is a sentence", rule.Alert, annotation)
		}
		assert.NotEmpty(t, rule.Labels["severity"], rule.Alert)
		assert.NotEmpty(t, rule.For, "%s fires at once", rule.Alert)
	}
}

func TestMetricsOf(t *testing.T) {
	tests := map[string]struct {
		expression string
		want       []string
	}{
		"a name":               {`clusterpass_grants`, []string{"clusterpass_grants"}},
		"functions and labels": {`sum by (le, phase) (rate(a_bucket{job=~"$job",x!="}"}[$__rate_interval]))`, []string{"a_bucket"}},
		"operators and numbers": {
			"sum(a) without (b)\n  / on (c) group_left (d) e > 0.05 and f unless 1e5 * g offset 5m", []string{"a", "e", "f", "g"},
		},
		"a function without space": {`absent(a) or max(b)==bool 0`, []string{"a", "b"}},
		"a variable of Grafana":    {`label_values(a, job)`, []string{"a"}},
		"twice the same":           {`a / a`, []string{"a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, metricsOf(test.expression))
		})
	}
}

// Parts of PromQL, and of Grafana's queries for variables, that name no metric.
var (
	quoted     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	selectors  = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+`)
	groupings  = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)`)
	variables  = regexp.MustCompile(`\blabel_values\(([^,]*),[^)]*\)`)
	identifier = regexp.MustCompile(`\b[a-zA-Z_:][a-zA-Z0-9_:]*\b\s*\(?`)
	operators  = sets.New("and", "or", "unless", "bool")
)

// metricsOf returns the names of metrics in an expression, sorted.
func metricsOf(expression string) []string {
	expression = quoted.ReplaceAllLiteralString(expression, "")
	expression = selectors.ReplaceAllLiteralString(expression, "")
	expression = groupings.ReplaceAllLiteralString(expression, "")
	expression = variables.ReplaceAllString(expression, "$1")
	names := sets.New[string]()
	for _, found := range identifier.FindAllString(expression, -1) {
		name := strings.TrimSpace(found)
		if !strings.HasSuffix(name, "(") && !operators.Has(name) {
			names.Insert(name)
		}
	}
	return sets.List(names)
}

// rule is one of a file of Prometheus rules.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []rule `json:"rules"`
		} `json:"groups"`
	}
	require.NoError(t, yaml.UnmarshalStrict(artifact(t, "alerts.yaml"), &file))
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// expressions returns those of both files, by where they are.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Type, Definition string }
		}
		Panels []struct {
			Type, Title string
			Targets     []struct{ RefID, Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(artifact(t, "clusterpass.json"), &dashboard))
	all := map[string]string{}
	for _, rule := range alerts(t) {
		all["alert "+rule.Alert] = rule.Expr
	}
	for _, variable := range dashboard.Templating.List {
		if variable.Type == "query" {
			all["variable "+variable.Name] = variable.Definition
		}
	}
	for _, panel := range dashboard.Panels {
		if panel.Type != "row" {
			assert.NotEmpty(t, panel.Targets, "panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			all["panel "+panel.Title+" "+target.RefID] = target.Expr
		}
	}
	return all
}

func artifact(t *testing.T, name string) []byte {
	t.Helper()
	return testenv.Must[[]byte](t)(os.ReadFile(filepath.Join(testenv.Root(t), "artifacts", "dashboards", name)))
}
