// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package usage is the arithmetic of what is free in a cluster: nodes and pods go in, named amounts and scores come
// out. It counts as the scheduler does and calls nobody.
//
// An amount is named after its resource, and tells what pods may still ask for of it in the whole cluster: allocatable
// minus requested, node by node. Aspects are the most that is free on a single node (:largest-node), and what pods
// ask for that no node has been found for (:pending). Where nodes say by a label which type of device they have, the
// amounts of that device are counted by type, too: nvidia.com/gpu@Tesla-T4.
//
//   - Requests are those that the scheduler counts: the larger of containers and init containers, sidecars for as long
//     as they run, pod-level resources, overhead, resizes under way. A pod counts on its node until it has finished.
//   - A node that is not ready, is cordoned or has a taint with effect NoSchedule or NoExecute has nothing free, as
//     it takes no pod that doesn't tolerate it. One exception: where the taint's key is the name of a resource, as clouds
//     do it for nodes with devices, that resource is free, since a pod that asks for it is given the toleration.
//   - A node without room for one more pod has nothing free. A node that has promised more than it has, has nothing
//     free; it takes nothing away from what others have.
//   - What no node has, whether it takes pods or not, is unknown and therefore absent. Zero is what is known to be used up.
//   - Pods that are being deleted, or that wait for a scheduling gate, are no pending demand.
package usage
