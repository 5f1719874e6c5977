// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"clusterpass.dev/test/integration/parity"
	"clusterpass.dev/test/testenv"
)

// Namespaces of a hub without clusterpass.
const (
	good   = "good"
	broken = "broken"
)

// notApplicable is what needs a plugin, or somebody who changes something.
var notApplicable = []string{
	"access-provider", "access-credential", "access-authenticated", "expiry-reported", "credential-renewed", "member-id-one-cluster",
	"watch-change", "decision-rewrite",
}

// TestCRDs has a kube-apiserver with upstream's CRDs, and nobody behind it, pass what applies
// there. An inventory that breaks the rules does not pass.
func TestCRDs(t *testing.T) {
	hub := testenv.Start(t, testenv.Options{})
	require.NoError(t, entitle(t.Context(), hub))
	t.Run("a hub without the API", func(t *testing.T) {
		report := run(t, hub, "--namespace=default", "--watch-for=1s")
		assert.Equal(t, notConformant, report.results["inventory-served"].outcome())
		assert.Equal(t, notConformant, report.results["decisions-served"].outcome())
		assert.Equal(t, skipped, report.results["slice-size"].outcome())
		assert.Equal(t, unknown, report.results["manager-label"].outcome())
		assert.Equal(t, 1, report.exit)
	})
	parity.InstallCRDs(t, hub.RESTConfig())
	testenv.MustKubectl(t, hub.Kubeconfig(), inventory, "apply", "--server-side", "--filename=-")
	testenv.MustKubectl(t, hub.Kubeconfig(), statuses, "apply", "--server-side", "--subresource=status", "--filename=-")
	t.Run("an inventory in order", func(t *testing.T) {
		report := run(t, hub, "--namespace="+good, "--watch-for=1s")
		report.expect(t, map[string][]string{skipped: notApplicable})
		assert.Zero(t, report.exit)
		for _, id := range notApplicable {
			assert.NotEmpty(t, report.results[id].Message, "%s is skipped for a reason", id)
		}
	})
	t.Run("a broken inventory", func(t *testing.T) {
		report := run(t, hub, "--namespace="+broken, "--watch-for=1s")
		report.expect(t, map[string][]string{skipped: notApplicable, notConformant: {
			"manager-label", "member-id-not-empty", "member-id-set", "member-once", "condition-healthy", "condition-joined", "kubernetes-version",
			"decision-key", "decision-index", "decision-index-unique", "decision-profiles",
		}})
		assert.Equal(t, 1, report.exit)
		for id, words := range map[string]string{
			"manager-label":         `"other-manager" has the label "another" and the manager "plain"`,
			"member-id-not-empty":   `1 of 4 profiles: "empty-id"`,
			"member-once":           `member "twice" has "one"; "two"`,
			"decision-key":          `"no-key"`,
			"decision-index":        `"gap-2" of key "gap" has the index "2" where 1 follows`,
			"decision-index-unique": `"tie-a" and "tie-b" of key "tie"`,
			"decision-profiles":     `"broken/nowhere" of "gap-2"`,
		} {
			assert.Contains(t, report.results[id].Message, words, id)
		}
	})
	t.Run("a namespace without profiles", func(t *testing.T) {
		report := run(t, hub, "--namespace=default", "--watch-for=1s")
		assert.Equal(t, notConformant, report.results["inventory-registered"].outcome())
		assert.Equal(t, unknown, report.results["manager-label"].outcome())
		assert.Equal(t, 1, report.exit)
	})
	t.Run("a manager without profiles", func(t *testing.T) {
		report := run(t, hub, "--namespace="+broken, "--cluster-manager=nobody", "--watch-for=1s")
		assert.Equal(t, notConformant, report.results["inventory-registered"].outcome())
	})
}

func profile(namespace, name, labels string) string {
	return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/v1alpha2\nkind: ClusterProfile\n"+
		"metadata: {namespace: %s, name: %s, labels: {%s}}\nspec: {clusterManager: {name: plain}}\n---\n", namespace, name, labels)
}

func slice(namespace, name, labels, cluster string) string {
	return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/v1alpha2\nkind: PlacementDecision\n"+
		"metadata: {namespace: %s, name: %s, labels: {%s}}\n"+
		"decisions: [{clusterProfileRef: {name: %s}}]\n---\n", namespace, name, labels, cluster)
}

const (
	manager = "x-k8s.io/cluster-manager: plain"
	id      = ", multicluster.x-k8s.io/inventory-member-id: "
)

var inventory = "apiVersion: v1\nkind: Namespace\nmetadata: {name: good}\n---\n" +
	"apiVersion: v1\nkind: Namespace\nmetadata: {name: broken}\n---\n" +
	profile(good, "one", manager+id+"id-1") + profile(good, "two", manager+id+"id-2") +
	slice(good, "first", key("d", "0"), "one") + slice(good, "second", key("d", "1"), "two") +
	profile(broken, "one", manager+id+"twice") + profile(broken, "two", manager+id+"twice") +
	profile(broken, "other-manager", "x-k8s.io/cluster-manager: another") + profile(broken, "empty-id", manager+id+`""`) +
	slice(broken, "no-key", `multicluster.x-k8s.io/decision-index: "0"`, "one") +
	slice(broken, "gap-0", key("gap", "0"), "one") + slice(broken, "gap-2", key("gap", "2"), "nowhere") +
	slice(broken, "tie-a", key("tie", "0"), "one") + slice(broken, "tie-b", key("tie", "0"), "two")

func key(key, index string) string {
	return fmt.Sprintf("multicluster.x-k8s.io/decision-key: %s, multicluster.x-k8s.io/decision-index: %q", key, index)
}

// statuses are what the manager of the inventory in order knows of its clusters.
var statuses = status("one") + status("two")

func status(name string) string {
	condition := func(kind string) string {
		return fmt.Sprintf(`{type: %s, status: "True", reason: Test, message: "", lastTransitionTime: "2026-01-02T03:04:05Z"}`, kind)
	}
	return fmt.Sprintf("apiVersion: multicluster.x-k8s.io/v1alpha2\nkind: ClusterProfile\nmetadata: {namespace: good, name: %s}\n"+
		"status: {version: {kubernetes: v1.37.2}, conditions: [%s, %s]}\n---\n", name, condition("ControlPlaneHealthy"), condition("Joined"))
}
