// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package testenv runs real clusters on 127.0.0.1: a hub with clusterpass-apiserver behind it, and
// members.
//
// A [Cluster] is one etcd, one kube-apiserver and one kube-controller-manager with the few
// controllers that a cluster without nodes needs. A [Server] is clusterpass-apiserver under the hub
// identity and the RBAC it is deployed with. Both come as [Program]s, so that two callers can run
// them in their own way:
//
//   - a test calls [Start] and [StartServer]; the processes end with the test, and with the test
//     binary whatever ends that;
//   - the local fleet (test/testenv/fleet, make up) runs them detached and heals them.
//
// [RegisterAPIServices] and [Join] do what the installer of a real fleet does: register the server
// with the hub's aggregator, and give the hub a credential for a member.
//
// A [Kueue] is Kueue's manager on one of the clusters, for those who ask for it.
//
// There are no nodes: pods are stored and never run.
package testenv
