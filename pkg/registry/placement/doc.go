// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placement stores Placements and serves them with their status.
//
// The author of a placement is who last changed its spec. The server notes the user on create, and on each update that
// changes anything else of the spec; what a client sends is dropped. Groups are those that the user was in then. Clusters of
// other namespaces are chosen from only where the author may list them.
//
// A spec that cannot be followed is refused: what compiles it for the scheduler also finds the mistakes here.
package placement
