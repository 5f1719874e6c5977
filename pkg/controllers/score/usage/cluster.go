// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Cluster adds up what is free in a cluster. It keeps a few numbers a node, and nothing of a pod, so that a cluster
// may be read in pages. It is made by New and not safe for concurrent use.
type Cluster struct {
	labels  []DeviceLabel
	nodes   map[string]*node
	pending amounts
	// dropped says that pods ask for more resources than are kept.
	dropped bool
}

// node is what counts of a node.
type node struct {
	allocatable corev1.ResourceList
	requested   amounts
	types       map[corev1.ResourceName]string
	ready       bool
	// taints are the keys of those that keep pods away.
	taints []string
}

// maxPending bounds the names of what pods wait for.
const maxPending = 1024

// amounts are sums by name.
type amounts map[string]resource.Quantity

func (a amounts) add(name string, quantity resource.Quantity) {
	sum := a[name]
	sum.Add(quantity)
	a[name] = sum
}

// New returns a Cluster without nodes, which tells types of devices by labels.
func New(labels []DeviceLabel) *Cluster {
	return &Cluster{labels: labels, nodes: map[string]*node{}, pending: amounts{}}
}

// AddNode counts a node. All nodes are to be added before the first pod.
func (c *Cluster) AddNode(n *corev1.Node) {
	counted := &node{
		allocatable: n.Status.Allocatable,
		requested:   amounts{},
		types:       types(c.labels, n.Labels),
		ready:       isReady(n) && !n.Spec.Unschedulable,
	}
	for i := range n.Spec.Taints {
		if effect := n.Spec.Taints[i].Effect; effect == corev1.TaintEffectNoSchedule || effect == corev1.TaintEffectNoExecute {
			counted.taints = append(counted.taints, n.Spec.Taints[i].Key)
		}
	}
	c.nodes[n.Name] = counted
}

func isReady(n *corev1.Node) bool {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return n.Status.Conditions[i].Status == corev1.ConditionTrue
		}
	}
	return false
}

// AddPod counts a pod: on its node, or as pending. One on a node that is not known, since the node is gone or came
// after the nodes were listed, counts for nothing.
func (c *Cluster) AddPod(pod *corev1.Pod) {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	if pod.Spec.NodeName == "" {
		c.addPending(pod)
		return
	}
	on, ok := c.nodes[pod.Spec.NodeName]
	if !ok {
		return
	}
	for name, quantity := range requests(pod) {
		on.requested.add(string(name), quantity)
	}
}

func (c *Cluster) addPending(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
		return
	}
	selected := types(c.labels, pod.Spec.NodeSelector)
	for name, quantity := range requests(pod) {
		c.want(string(name), quantity)
		if device := selected[name]; device != "" {
			c.want(typed(name, device), quantity)
		}
	}
}

// want counts what a pod asks for. Of names that are new only so many are kept.
func (c *Cluster) want(name string, quantity resource.Quantity) {
	if _, known := c.pending[name]; !known && len(c.pending) >= maxPending {
		c.dropped = true
		return
	}
	c.pending.add(name, quantity)
}

// requests returns what the scheduler counts for a pod, the pod itself included.
func requests(pod *corev1.Pod) corev1.ResourceList {
	sum := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	})
	sum[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	return sum
}

// free returns what pods may still ask for of a resource on the node.
func (n *node) free(name corev1.ResourceName) resource.Quantity {
	slots := n.left(corev1.ResourcePods)
	if !n.takes(name) || slots.IsZero() {
		return resource.Quantity{Format: n.format(name)}
	}
	return n.left(name)
}

// left returns allocatable minus requested, and never less than zero.
func (n *node) left(name corev1.ResourceName) resource.Quantity {
	left := n.allocatable[name].DeepCopy()
	left.Sub(n.requested[string(name)])
	if left.Sign() < 0 {
		return resource.Quantity{Format: n.format(name)}
	}
	return left
}

// format returns how amounts of a resource are written: memory in powers of two, say.
func (n *node) format(name corev1.ResourceName) resource.Format {
	return n.allocatable[name].Format
}

// takes says whether a pod may come to the node that asks for a resource and tolerates nothing of its own accord.
func (n *node) takes(name corev1.ResourceName) bool {
	for _, taint := range n.taints {
		if taint != string(name) {
			return false
		}
	}
	return n.ready
}
