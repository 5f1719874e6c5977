// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package join makes a member cluster part of a hub's inventory, and takes it out of it again: what
// `kubectl clusterpass join` and `unjoin` do. It is run by somebody who may write to both clusters,
// once; it does not know what is done with a member afterwards.
package join
