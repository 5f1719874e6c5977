// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package suite checks whether a hub keeps the rules of the Cluster Inventory API (KEP-4322,
// KEP-5339 and KEP-5313), as consumers meet them: what a cluster manager writes, how profiles are
// found and watched, how members are reached through a credential plugin, and what a scheduler
// decides. It reads the hub and writes nothing to it. Where a rule shows only while something
// changes, the suite watches, and a command of the person who runs it may make the change.
//
// It does not check the validation of the API: that belongs to the CRDs, or to the server.
package suite
