// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package usage computes the free resources of a cluster: its input are nodes and pods, its output
// are named amounts and scores. It counts like the scheduler, and calls nobody.
//
// An amount has the name of its resource. It is the sum of what pods can still request in the whole
// cluster: allocatable minus requested on each node. Its aspects are the largest free amount on a
// single node (:largest-node), and the requests of pods without a node (:pending). If a label of
// nodes has the type of their devices, amounts are also counted by type: nvidia.com/gpu@Tesla-T4.
//
//   - Requests are those that the scheduler counts: the larger of containers and init containers,
//     sidecars while they run, pod-level resources, overhead, and resizes in progress. A pod counts
//     on its node until it has finished.
//   - A node has nothing free if it is not ready, is cordoned, or has a taint with effect
//     NoSchedule or NoExecute, because it accepts no pod without a toleration. There is one
//     exception: the key of the taint may be the name of a resource, as on nodes with devices in
//     clouds. That resource is free, because pods that request it get the toleration.
//   - A node without room for one more pod has nothing free. An overcommitted node has nothing
//     free, too, and does not reduce what others have.
//   - A resource that no node has, ready or not, is unknown and therefore absent. Zero means that a
//     resource is used up.
//   - Pods that are being deleted, or have scheduling gates, are not pending.
package usage
