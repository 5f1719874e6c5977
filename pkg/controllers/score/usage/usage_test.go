// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

const gpu = "nvidia.com/gpu"

type (
	nodes  = []*corev1.Node
	pods   = []*corev1.Pod
	values = map[string]string
)

// resources returns a list from pairs of name and quantity.
func resources(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

// newNode returns a node that is ready, with room for ten pods.
func newNode(name string, pairs ...string) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	node.Status.Allocatable = resources(append(pairs, "pods", "10")...)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	return node
}

func container(pairs ...string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Requests: resources(pairs...)}}
}

// newPod returns a running pod of one container; node is empty for one that is pending.
func newPod(node string, pairs ...string) *corev1.Pod {
	return &corev1.Pod{Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{container(pairs...)}}}
}

func podWith(pod *corev1.Pod, change func(*corev1.Pod)) *corev1.Pod {
	change(pod)
	return pod
}

func nodeWith(node *corev1.Node, change func(*corev1.Node)) *corev1.Node {
	change(node)
	return node
}

func taint(key string, effect corev1.TaintEffect) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func labelled(label, value string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels = map[string]string{label: value} }
}

func TestValues(t *testing.T) {
	fourCores, teslaT4 := nodes{newNode("a", "cpu", "4")}, labelled("nvidia.com/gpu.product", "Tesla-T4")
	sidecar := container("cpu", "2")
	sidecar.RestartPolicy = ptr.To(corev1.ContainerRestartPolicyAlways)
	withInit := func(containers ...corev1.Container) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.InitContainers = containers }
	}
	selecting := func(device string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"nvidia.com/gpu.product": device} }
	}
	for name, tc := range map[string]struct {
		nodes nodes
		pods  pods
		want  values
		// absent are names that must not be there.
		absent []string
	}{
		"an empty cluster has nothing, not even zero": {absent: []string{"cpu", "cpu:pending", "pods", gpu}},
		"every resource of a free node is free": {
			nodes: nodes{newNode("a", "cpu", "4", "memory", "8Gi", "ephemeral-storage", "100Gi", gpu, "2")},
			want: values{
				"cpu": "4", "cpu:largest-node": "4", "cpu:pending": "0", "memory": "8Gi", "ephemeral-storage": "100Gi", gpu: "2", "pods": "10",
			},
			absent: []string{"hugepages-2Mi", gpu + "@"},
		},
		"what pods request is taken, node by node": {
			nodes: nodes{newNode("a", "cpu", "4"), newNode("b", "cpu", "4")},
			pods:  pods{newPod("a", "cpu", "3"), newPod("b", "cpu", "500m"), newPod("b", "cpu", "500m")},
			want:  values{"cpu": "4", "cpu:largest-node": "3", "pods": "17", "pods:largest-node": "9"},
		},
		"a pod that requests nothing takes its place among pods": {
			nodes: fourCores, pods: pods{newPod("a")}, want: values{"cpu": "4", "pods": "9"},
		},
		"an init container that is larger than the containers counts in their place": {
			nodes: nodes{newNode("a", "cpu", "10", "memory", "10Gi")},
			pods:  pods{podWith(newPod("a", "cpu", "1", "memory", "4Gi"), withInit(container("cpu", "3"), container("cpu", "2", "memory", "1Gi")))},
			want:  values{"cpu": "7", "memory": "6Gi"},
		},
		"init containers of one pod say nothing about those of another": {
			nodes: nodes{newNode("a", "cpu", "10")},
			pods:  pods{newPod("a", "cpu", "5"), podWith(newPod("a", "cpu", "1"), withInit(container("cpu", "3")))},
			want:  values{"cpu": "2"},
		},
		"a sidecar runs beside the containers, and beside the init containers after it": {
			nodes: nodes{newNode("a", "cpu", "10")},
			pods:  pods{podWith(newPod("a", "cpu", "1"), withInit(sidecar, container("cpu", "3")))},
			want:  values{"cpu": "5"},
		},
		"overhead counts on top": {
			nodes: fourCores, pods: pods{podWith(newPod("a", "cpu", "1"), func(p *corev1.Pod) { p.Spec.Overhead = resources("cpu", "250m") })},
			want: values{"cpu": "2750m"},
		},
		"pods that have finished hold nothing": {nodes: fourCores, pods: pods{
			podWith(newPod("a", "cpu", "1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
			podWith(newPod("a", "cpu", "1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }),
		}, want: values{"cpu": "4", "pods": "10"}},
		"pods that are being deleted hold theirs until they are gone": {
			nodes: fourCores, pods: pods{podWith(newPod("a", "cpu", "1"), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} })},
			want: values{"cpu": "3"},
		},
		"pods on nodes that are gone count for nothing": {
			nodes: fourCores, pods: pods{newPod("gone", "cpu", "1")}, want: values{"cpu": "4", "cpu:pending": "0"},
		},
		"nodes that are cordoned, not ready or tainted are known and have nothing free": {nodes: nodes{
			newNode("a", "cpu", "1"),
			nodeWith(newNode("b", "cpu", "4", gpu, "4"), func(n *corev1.Node) { n.Spec.Unschedulable = true }),
			nodeWith(newNode("c", "cpu", "4"), func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }),
			nodeWith(newNode("d", "cpu", "4"), func(n *corev1.Node) { n.Status.Conditions = nil }),
			nodeWith(newNode("e", "cpu", "4"), taint("dedicated", corev1.TaintEffectNoSchedule)),
			nodeWith(newNode("f", "cpu", "4"), taint("dedicated", corev1.TaintEffectNoExecute)),
		}, want: values{"cpu": "1", "cpu:largest-node": "1", gpu: "0", gpu + ":largest-node": "0"}},
		"a taint that only asks to be avoided keeps nobody away": {
			nodes: nodes{nodeWith(newNode("a", "cpu", "4"), taint("dedicated", corev1.TaintEffectPreferNoSchedule))}, want: values{"cpu": "4"},
		},
		"a node that is tainted with the name of its device is free for those who ask for the device": {
			nodes: nodes{nodeWith(newNode("a", "cpu", "4", gpu, "2"), taint(gpu, corev1.TaintEffectNoSchedule))}, want: values{"cpu": "0", gpu: "2"},
		},
		"a node with two taints is not free for those who tolerate one": {
			nodes: nodes{nodeWith(nodeWith(newNode("a", gpu, "2"), taint(gpu, corev1.TaintEffectNoSchedule)),
				taint("node.kubernetes.io/not-ready", corev1.TaintEffectNoExecute))},
			want: values{gpu: "0"},
		},
		"a node that has promised too much takes nothing from the others": {
			nodes: nodes{newNode("a", "cpu", "2"), newNode("b", "cpu", "4")}, pods: pods{newPod("a", "cpu", "3"), newPod("b", "cpu", "1")},
			want: values{"cpu": "3", "cpu:largest-node": "3"},
		},
		"a node without room for one more pod has nothing free": {
			nodes: nodes{
				nodeWith(newNode("a", "cpu", "8"), func(n *corev1.Node) { n.Status.Allocatable["pods"] = resource.MustParse("1") }),
				newNode("b", "cpu", "2"),
			},
			pods: pods{newPod("a", "cpu", "1")}, want: values{"cpu": "2", "cpu:largest-node": "2"},
		},
		"devices are listed by type, and those without a label are in the sum alone": {
			nodes: nodes{
				nodeWith(newNode("a", gpu, "4"), teslaT4),
				nodeWith(newNode("b", gpu, "8"), labelled("cloud.google.com/gke-accelerator", "nvidia-h100")),
				nodeWith(newNode("c", gpu, "2"), teslaT4),
				newNode("d", gpu, "1"),
			},
			pods: pods{newPod("a", gpu, "3")},
			want: values{
				gpu: "12", gpu + ":largest-node": "8",
				gpu + "@Tesla-T4": "3", gpu + "@Tesla-T4:largest-node": "2", gpu + "@Tesla-T4:pending": "0",
				gpu + "@nvidia-h100": "8",
			},
		},
		"of several labels the first that is configured counts": {
			nodes: nodes{nodeWith(newNode("a", gpu, "4"), func(n *corev1.Node) {
				n.Labels = map[string]string{"accelerator": "gpu", "nvidia.com/gpu.product": "Tesla-T4"}
			})},
			want: values{gpu + "@Tesla-T4": "4"}, absent: []string{gpu + "@gpu"},
		},
		"a label about one device says nothing about another": {
			nodes: nodes{nodeWith(newNode("a", gpu, "4", "rdma/hca", "1"), teslaT4)},
			want:  values{"rdma/hca": "1"}, absent: []string{"rdma/hca@Tesla-T4", "cpu@Tesla-T4"},
		},
		"pods without a node are demand, by type where they select one": {
			nodes: nodes{nodeWith(newNode("a", "cpu", "4", gpu, "4"), teslaT4)},
			pods: pods{
				newPod("", "cpu", "1", gpu, "1"), podWith(newPod("", gpu, "2"), selecting("Tesla-T4")),
				podWith(newPod("", gpu, "4"), selecting("A100")),
			},
			want: values{
				"cpu": "4", "cpu:pending": "1", "pods:pending": "3", gpu: "4", gpu + ":pending": "7",
				gpu + "@Tesla-T4:pending": "2", gpu + "@A100:pending": "4",
			},
			absent: []string{gpu + "@A100"},
		},
		"pods that wait for a gate, or are being deleted, are no demand": {nodes: fourCores, pods: pods{
			podWith(newPod("", "cpu", "1"), func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "queue"}} }),
			podWith(newPod("", "cpu", "1"), func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{} }),
		}, want: values{"cpu:pending": "0", "pods:pending": "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := valuesOf(t, tc.nodes, tc.pods)
			for name, want := range tc.want {
				quantity, ok := got[name]
				if assert.True(t, ok, "%s is absent", name) {
					assert.Zero(t, quantity.Cmp(resource.MustParse(want)), "%s is %s, not %s", name, quantity.String(), want)
				}
			}
			for _, name := range tc.absent {
				assert.NotContains(t, got, name)
			}
		})
	}
}

func valuesOf(t *testing.T, nodes []*corev1.Node, pods []*corev1.Pod) map[string]resource.Quantity {
	t.Helper()
	labels, err := ParseDeviceLabels(DefaultDeviceLabels())
	require.NoError(t, err)
	cluster := New(labels)
	for _, node := range nodes {
		require.NoError(t, cluster.AddNode(node))
	}
	for _, pod := range pods {
		cluster.AddPod(pod)
	}
	values := map[string]resource.Quantity{}
	last := ""
	all, _ := cluster.Values(v1alpha1.MaxScores)
	for _, value := range all {
		assert.Less(t, last, value.Name, "ordered by name, each once")
		values[value.Name], last = *value.Value, value.Name
	}
	return values
}

func namesOf(values []v1alpha1.ClusterValue) []string {
	var names []string
	for _, value := range values {
		names = append(names, value.Name)
	}
	return names
}

// Counting changes no node and no pod.
func TestCluster_ChangesNothing(t *testing.T) {
	node, pod := newNode("a", "cpu", "4"), newPod("a", "cpu", "1")
	wantNode, wantPod := node.DeepCopy(), pod.DeepCopy()
	valuesOf(t, []*corev1.Node{node}, []*corev1.Pod{pod, pod})
	assert.Empty(t, cmp.Diff(wantNode, node))
	assert.Empty(t, cmp.Diff(wantPod, pod))
}

func TestScore(t *testing.T) {
	for _, tc := range []struct {
		name, resource, amount string
		want                   int32
	}{
		{"nothing is the least", gpu, "0", -100},
		{"each device is a point", gpu, "1", -99},
		{"more devices than OCM's collector can tell apart", gpu, "21", -79},
		{"the last that is a point of its own", gpu, "64", -36},
		{"twice as many are seven points more", gpu, "128", -29},
		{"a part of a core is more than nothing", "cpu", "1m", -99},
		{"memory is counted in gibibytes", "memory", "16Gi", -84},
		{"so is that which a single node has", "memory:largest-node", "16Gi", -84},
		{"and huge pages", "hugepages-2Mi", "2Gi", -98},
		{"storage is counted by the ten", "ephemeral-storage", "100Gi", -90},
		{"devices of one type as all of them", gpu + "@Tesla-T4", "3", -97},
		{"5,000 nodes of eight devices", gpu, "40k", 30},
		{"5,000 nodes of 192 cores", "cpu", "960k", 62},
		{"5,000 nodes of 6 TiB", "memory", "30000Ti", 97},
		{"more than any cluster has", "cpu", "1E", 100},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, Score(tc.resource, resource.MustParse(tc.amount)))
		})
	}
}

// More never scores less.
func TestScore_Monotonic(t *testing.T) {
	for _, name := range []string{"cpu", "memory", "ephemeral-storage", gpu} {
		last := Score(name, resource.Quantity{})
		for amount := 1.0; amount < 1e18; amount *= 1.07 {
			quantity := resource.MustParse(fmt.Sprintf("%.0f", amount))
			score := Score(name, quantity)
			require.GreaterOrEqual(t, score, last, "%s of %s", quantity.String(), name)
			last = score
		}
	}
}

func TestParseDeviceLabels(t *testing.T) {
	labels, err := ParseDeviceLabels([]string{"example.com/npu=example.com/npu.model"})
	require.NoError(t, err)
	assert.Equal(t, []DeviceLabel{{Resource: "example.com/npu", Label: "example.com/npu.model"}}, labels)
	for _, pair := range []string{"", "example.com/npu", "=label", "npu=", "n p u=label"} {
		_, err := ParseDeviceLabels([]string{pair})
		assert.ErrorContains(t, err, "is not RESOURCE=LABEL", pair)
	}
}

// Nobody pushes out what nodes have.
func TestCluster_ValuesCrowdedOut(t *testing.T) {
	cluster := New(nil)
	require.NoError(t, cluster.AddNode(newNode("a", "cpu", "4", "memory", "8Gi", "pods", "10", "nvidia.com/gpu", "2")))
	for i := range 3000 {
		cluster.AddPod(newPod("", fmt.Sprintf("a.example.com/r%d", i), "1"))
	}
	values, more := cluster.Values(v1alpha1.MaxScores)
	assert.True(t, more)
	assert.Len(t, values, v1alpha1.MaxScores)
	assert.Subset(t, namesOf(values), []string{"cpu", "memory", gpu, gpu + ":largest-node", gpu + ":pending"})
}

// A pod that is being made smaller counts as before.
func TestRequests_Resize(t *testing.T) {
	pod := newPod("a", "cpu", "0")
	pod.Spec.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}
	pod.Status.Resources = &corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}}
	free := valuesOf(t, []*corev1.Node{newNode("a", "cpu", "10", "pods", "10")}, []*corev1.Pod{pod})["cpu"]
	assert.Equal(t, "6", free.String())
}
