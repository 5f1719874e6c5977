// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package clusterscore stores ClusterScores and serves them with their status, as a custom resource would be:
// whoever may write the status says what a cluster's figures are, and nothing here judges whether they are right.
package clusterscore
