// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

var megabyte = strings.Repeat("a", 1<<20)

// What is kept of a cluster is bounded.
func TestCluster_Bounds(t *testing.T) {
	many := func(most int) *corev1.Node {
		node := newNode("many", "cpu", "4", "memory", "8Gi", gpu, "2")
		for i := range most {
			node.Status.Allocatable[corev1.ResourceName(fmt.Sprintf("a.example.com/resource-%d", i))] = resource.MustParse("1")
		}
		return node
	}
	devices := nodes{many(0)}
	for i := range 2 * maxNames {
		devices = append(devices, nodeWith(newNode(strconv.Itoa(i), gpu, "1"), labelled("type", fmt.Sprintf("T%d", i))))
	}
	for name, test := range map[string]struct {
		nodes nodes
		pods  pods
		more  bool
	}{
		"100,000 names of resources":         {nodes{many(100_000)}, nil, true},
		"thousands of types of a device":     {devices, nil, true},
		"a resource's name of a megabyte":    {nodes{many(0), newNode("a", megabyte, "1")}, nil, true},
		"a resource's name that is none":     {nodes{many(0), newNode("a", "no name@all:no", "1")}, nil, true},
		"a label's value of a megabyte":      {nodes{nodeWith(many(0), labelled("type", megabyte))}, nil, false},
		"a label's value that is none":       {nodes{nodeWith(many(0), labelled("type", "a:b@c"))}, nil, false},
		"a taint's key of a megabyte":        {nodes{many(0), nodeWith(newNode("a"), taint(megabyte, corev1.TaintEffectNoSchedule))}, nil, false},
		"a name in a pod of a megabyte":      {nodes{many(0)}, pods{newPod("", megabyte, "1"), newPod("many", megabyte, "1")}, true},
		"a name in a pod that no node takes": {nodes{many(0)}, pods{newPod("many", "example.com/other", "1")}, false},
		"a selector of a pod of a megabyte": {nodes{many(0)}, pods{podWith(newPod("", gpu, "1"), func(p *corev1.Pod) {
			p.Spec.NodeSelector = map[string]string{"type": megabyte}
		})}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := New([]DeviceLabel{{Resource: gpu, Label: "type"}})
			for _, node := range test.nodes {
				require.NoError(t, cluster.AddNode(node))
			}
			for _, pod := range test.pods {
				cluster.AddPod(pod)
			}
			assert.LessOrEqual(t, len(cluster.names), maxNames)
			assert.LessOrEqual(t, len(cluster.pending), maxPending)
			for _, node := range cluster.nodes {
				assert.LessOrEqual(t, len(node.requested), len(node.allocatable))
				assert.LessOrEqual(t, len(node.reservedFor), maxName)
			}
			values, more := cluster.Values(v1alpha1.MaxScores)
			assert.Equal(t, test.more, more)
			assert.LessOrEqual(t, len(values), v1alpha1.MaxScores)
			for _, value := range values {
				assert.Less(t, len(value.Name), 512)
			}
			assert.Subset(t, namesOf(values), []string{"cpu", "memory", gpu})
		})
	}
}

// A cluster of more than is counted is an error.
func TestCluster_AddNodeTooMany(t *testing.T) {
	cluster := New(nil)
	var err error
	added := 0
	for ; err == nil; added++ {
		err = cluster.AddNode(&corev1.Node{ObjectMeta: newNode(strconv.Itoa(added)).ObjectMeta})
	}
	require.ErrorContains(t, err, "more than 524288")
	assert.Equal(t, maxKept+1, added)
	require.ErrorContains(t, New(nil).AddNode(newNode(megabyte)), "more than 253 bytes")
}
