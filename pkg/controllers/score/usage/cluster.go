// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"
	nodeutil "k8s.io/component-helpers/node/util"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Cluster adds up the free resources of a cluster. It keeps a few numbers for each node and none
// for pods, so a cluster can be read in pages. Its memory is bounded, whatever a member sends. It
// is not safe for concurrent use. Use New.
type Cluster struct {
	labels []DeviceLabel
	nodes  map[string]*node
	// names are the names of nodes' resources, including those with a type.
	names sets.Set[string]
	// kept is the number of nodes and their amounts.
	kept    int
	pending amounts
	// dropped says that there are more resources than are kept, or some with invalid names.
	dropped bool
}

// node has the data of a node that matters.
type node struct {
	allocatable corev1.ResourceList
	requested   amounts
	types       map[corev1.ResourceName]string
	// takesAll says that any pod can be scheduled. reservedFor is the resource that a pod must request
	// otherwise.
	takesAll    bool
	reservedFor corev1.ResourceName
}

const (
	// maxNames bounds the names of nodes' resources. maxPending bounds the names of resources that
	// pending pods request.
	maxNames   = 1024
	maxPending = 1024
	// maxKept bounds nodes and their amounts: 65,000 nodes with seven each.
	maxKept = 1 << 19
)

// amounts are sums by name.
type amounts map[string]resource.Quantity

func (a amounts) add(name string, quantity resource.Quantity) {
	sum := a[name]
	sum.Add(quantity)
	a[name] = sum
}

// New returns a Cluster without nodes. labels are the labels with the types of devices.
func New(labels []DeviceLabel) *Cluster {
	return &Cluster{labels: labels, nodes: map[string]*node{}, names: sets.New[string](), pending: amounts{}}
}

// AddNode counts a node. Add all nodes before the first pod. It returns an error if the cluster
// exceeds a limit.
func (c *Cluster) AddNode(n *corev1.Node) error {
	if len(n.Name) > validation.DNS1123SubdomainMaxLength {
		return fmt.Errorf("the name of a node has more than %d bytes", validation.DNS1123SubdomainMaxLength)
	}
	counted := &node{allocatable: c.allocatable(n), requested: amounts{}, types: types(c.labels, n.Labels)}
	for name, device := range counted.types {
		if _, has := counted.allocatable[name]; !has || !c.keep(typed(name, device)) {
			delete(counted.types, name)
		}
	}
	counted.admit(n)
	if c.kept += 1 + len(counted.allocatable); c.kept > maxKept {
		return fmt.Errorf("its nodes and what they have are more than %d", maxKept)
	}
	c.nodes[n.Name] = counted
	return nil
}

// allocatable returns the allocatable resources of a node that are kept; shorter names have
// priority.
func (c *Cluster) allocatable(n *corev1.Node) corev1.ResourceList {
	kept := corev1.ResourceList{}
	for _, name := range slices.SortedFunc(maps.Keys(n.Status.Allocatable), shorterFirst) {
		if c.names.Has(string(name)) || c.isName(name) && c.keep(string(name)) {
			kept[name] = n.Status.Allocatable[name]
		}
	}
	return kept
}

// isName returns whether a resource can have that name. It records in dropped that there was an
// invalid one.
func (c *Cluster) isName(name corev1.ResourceName) bool {
	valid := len(name) <= maxName && len(validation.IsQualifiedName(string(name))) == 0
	c.dropped = c.dropped || !valid
	return valid
}

// maxName is the length of the longest name of a resource: a domain, a slash and a name.
const maxName = validation.DNS1123SubdomainMaxLength + 1 + 63

// keep returns whether amounts of that name are kept. The number of names is limited.
func (c *Cluster) keep(name string) bool {
	if !c.names.Has(name) && len(c.names) >= maxNames {
		c.dropped = true
		return false
	}
	c.names.Insert(name)
	return true
}

// admit records which pods can be scheduled on a node.
func (n *node) admit(from *corev1.Node) {
	taints := sets.New[corev1.ResourceName]()
	for i := range from.Spec.Taints {
		if effect := from.Spec.Taints[i].Effect; effect == corev1.TaintEffectNoSchedule || effect == corev1.TaintEffectNoExecute {
			taints.Insert(corev1.ResourceName(from.Spec.Taints[i].Key))
		}
	}
	_, ready := nodeutil.GetNodeCondition(&from.Status, corev1.NodeReady)
	if ready == nil || ready.Status != corev1.ConditionTrue || from.Spec.Unschedulable || len(taints) > 1 {
		return
	}
	n.takesAll = len(taints) == 0
	for name := range n.allocatable {
		if taints.Has(name) {
			n.reservedFor = name
		}
	}
}

// AddPod counts a pod: on its node, or as pending. It ignores a pod on an unknown node, which was
// deleted, or created after the nodes were listed.
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
		if _, has := on.allocatable[name]; has {
			on.requested.add(string(name), quantity)
		}
	}
}

func (c *Cluster) addPending(pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0 {
		return
	}
	selected := types(c.labels, pod.Spec.NodeSelector)
	for name, quantity := range requests(pod) {
		if _, known := c.pending[string(name)]; !known && !c.isName(name) {
			continue
		}
		c.want(string(name), quantity)
		if device := selected[name]; device != "" {
			c.want(typed(name, device), quantity)
		}
	}
}

// want counts a request of a pod. The number of names is limited.
func (c *Cluster) want(name string, quantity resource.Quantity) {
	if _, known := c.pending[name]; !known && len(c.pending) >= maxPending {
		c.dropped = true
		return
	}
	c.pending.add(name, quantity)
}

// requests returns the requests of a pod as the scheduler counts them, including one of the
// resource pods.
func requests(pod *corev1.Pod) corev1.ResourceList {
	sum := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{
		UseStatusResources: true, InPlacePodLevelResourcesVerticalScalingEnabled: true,
	})
	sum[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	return sum
}

// free returns how much of a resource pods without tolerations of their own can still request on
// the node.
func (n *node) free(name corev1.ResourceName) resource.Quantity {
	takes, slots := n.takesAll || name == n.reservedFor, n.left(corev1.ResourcePods)
	if !takes || slots.IsZero() {
		return resource.Quantity{Format: n.allocatable[name].Format}
	}
	return n.left(name)
}

// left returns allocatable minus requested, and at least zero.
func (n *node) left(name corev1.ResourceName) resource.Quantity {
	left := n.allocatable[name].DeepCopy()
	left.Sub(n.requested[string(name)])
	if left.Sign() < 0 {
		return resource.Quantity{Format: n.allocatable[name].Format}
	}
	return left
}
