// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/words"
)

// clusterPropertiesOf answers with as many ClusterProperties, named after start and a number.
func clusterPropertiesOf(start string, count int, value string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		items := make([]string, count)
		for i := range items {
			items[i] = fmt.Sprintf(`{"metadata": {"name": "%s%d"}, "spec": {"value": %q}}`, start, i, value)
		}
		_, _ = fmt.Fprintf(w, `{"items": [%s]}`, strings.Join(items, ","))
	}
}

// endless never ends an answer that begins as JSON does.
func endless(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprint(w, `{"items": [`)
	for {
		if _, err := fmt.Fprint(w, strings.Repeat(" ", 1<<20)); err != nil {
			return
		}
	}
}

// TestController_HostileMember has each way to answer change nothing but the facts that it is
// about.
func TestController_HostileMember(t *testing.T) {
	const region = "topology.kubernetes.io/region"
	megabyte := strings.Repeat("a", 1<<20)
	ofNodes, ofProperties := map[string]string{region: "us"}, map[string]string{"from": "the member"}
	for name, test := range map[string]struct {
		path   string
		answer http.HandlerFunc
		want   map[string]string
	}{
		"a label of a megabyte": {"/api/v1/nodes", nodes(map[string]string{region: megabyte}), ofProperties},
		"a label of a megabyte among others": {"/api/v1/nodes", nodes(map[string]string{region: megabyte}, map[string]string{region: "eu"}),
			map[string]string{region: "eu", "from": "the member"}},
		"nodes without end":                    {"/api/v1/nodes", endless, ofProperties},
		"nodes that are none":                  {"/api/v1/nodes", plain(200, `{"items": {"a": "b"}}`), ofProperties},
		"a property without end":               {clusterPropertiesPath, endless, ofNodes},
		"a property of a megabyte":             {clusterPropertiesPath, clusterPropertiesOf("a", 1, megabyte), ofNodes},
		"a property of more than 1,024 bytes":  {clusterPropertiesPath, clusterPropertiesOf("a", 1, strings.Repeat("a", 1025)), ofNodes},
		"a property with a name of 254 bytes":  {clusterPropertiesPath, clusterPropertiesOf(strings.Repeat("a", 253), 1, "b"), ofNodes},
		"a property without a value":           {clusterPropertiesPath, clusterPropertiesOf("a", 1, ""), ofNodes},
		"100,000 properties are not looked at": {clusterPropertiesPath, clusterPropertiesOf("a", 100_000, "b"), ofNodes},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.member.answer("/api/v1/nodes", nodes(ofNodes))
			b.member.answer(clusterPropertiesPath, plain(200, `{"items": [{"metadata": {"name": "from"}, "spec": {"value": "the member"}}]}`))
			b.member.answer(test.path, test.answer)
			assert.Equal(t, metav1.ConditionTrue, b.probes(t.Context(), 1).Status)
			assert.Equal(t, "v1.37.2", b.stored.Status.Version.Kubernetes)
			assert.Equal(t, test.want, propertiesOf(b.stored))
		})
	}
}

func TestController_HostileMemberBounds(t *testing.T) {
	t.Run("the version", func(t *testing.T) {
		b := newBench(t)
		b.member.answer("/version", plain(200, `{"gitVersion": "v1`+strings.Repeat("ä", 1000)+`"}`))
		b.probes(t.Context(), 1)
		assert.Equal(t, "v1"+strings.Repeat("ä", 61)+"...", b.stored.Status.Version.Kubernetes)
	})
	t.Run("the checks that fail", func(t *testing.T) {
		b := newBench(t)
		b.member.answer("/readyz", plain(500, strings.Repeat("[-]\n[-]etcd\n", 1<<20)))
		got := b.probes(t.Context(), failuresToReport)
		assert.Equal(t, ReasonNotReady, got.Reason)
		assert.LessOrEqual(t, len(got.Message), words.MaxMessage)
	})
	t.Run("properties that are new at each reading are not kept", func(t *testing.T) {
		b := newBench(t)
		for i := range 20 {
			b.member.answer(clusterPropertiesPath, clusterPropertiesOf(fmt.Sprintf("reading-%d-", i), 1000, "b"))
			b.clock.Step(b.FactsPeriod)
			b.sync(t.Context(), b.stored)
			require.Len(t, b.stored.Status.Properties, maxProperties)
		}
		assert.LessOrEqual(t, len(b.of(b.stored).facts.cluster), 2*maxProperties)
		for name := range propertiesOf(b.stored) {
			assert.Contains(t, name, "reading-19-")
		}
	})
}

// TestController_TerminalEscapes is about words of a member that end on the screens of those who
// read its ClusterProfile.
func TestController_TerminalEscapes(t *testing.T) {
	b := newBench(t)
	b.member.answer("/version", plain(200, `{"gitVersion": "v1\u001b[31m\nFAIL"}`))
	b.probes(t.Context(), 1)
	assert.Equal(t, "v1\ufffd[31m FAIL", b.stored.Status.Version.Kubernetes)

	b.member.answer("/readyz", plain(500, "[-]etcd\x1b]0;title\x07 failed: reason withheld\n"))
	is := b.probes(t.Context(), 5)
	assert.Equal(t, metav1.ConditionFalse, is.Status)
	assert.NotContains(t, is.Message, "\x1b")
	assert.NotContains(t, is.Message, "\x07")
	assert.Contains(t, is.Message, "etcd")
}

// What is left out of too many properties is the same each time.
func TestFacts_MergeTooMany(t *testing.T) {
	f := &facts{cluster: map[string]string{}}
	for i := range 2 * maxProperties {
		f.cluster[fmt.Sprintf("property-%03d", i)] = "a"
	}
	others := []inventoryv1alpha1.Property{{Name: "zz", Value: "somebody's"}}
	first := f.merge(others, metav1.NewTime(time.Unix(0, 0)))
	require.Len(t, first, maxProperties)
	assert.Equal(t, "property-126", first[maxProperties-2].Name)
	assert.Equal(t, others[0], first[maxProperties-1])
	assert.Equal(t, first, f.merge(others, metav1.NewTime(time.Unix(0, 0))))
}
