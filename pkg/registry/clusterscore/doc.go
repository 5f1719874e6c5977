// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clusterscore stores ClusterScores and serves them with their status, like a custom
// resource. Users who may write the status set a cluster's figures. Nothing here checks whether
// these are right.
package clusterscore
