// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package placement stores Placements and serves them with their status.
//
// The author of a placement is the user who last changed its spec. The server records the user on
// create, and on each update that changes anything else in the spec. It drops an author that a
// client sends. It records the groups that the user has at that time. A placement selects clusters
// of another namespace only if its author may list them.
//
// An invalid spec is refused. The code that compiles a spec for the scheduler also validates it
// here.
package placement
