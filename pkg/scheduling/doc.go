// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scheduling selects clusters for a Placement: filters refuse clusters, prioritisers score
// the others, and the best ones are selected. It calls nobody, has no clock, and decides the same
// for the same input, regardless of the order of changes.
//
// A Fleet has the clusters that placements select from. Compile converts a Placement into a Policy.
// A Plan applies one Policy to a Fleet: its first pass evaluates every cluster, and each later pass
// only those that have changed since.
//
// To follow one Placement, read the files in this order:
//
//	convert.go    a ClusterProfile and its ClusterScores, converted to a Cluster
//	fleet.go      the clusters, and views of them without a lock
//	policy.go     Compile: a Placement as filters, prioritisers and a spread
//	plan.go       RunWhile: a pass over the changed clusters
//	filter.go     a cluster and its filters: taint.go and predicate.go; cel.go evaluates expressions
//	score.go      the ClusterScores, and whether they have expired
//	prioritizer.go, rank.go   scores, and the order of clusters by them
//	choose.go     the selection: how many clusters, and which stay or move; spread.go and group.go divide it
//	explain.go    the result for each cluster, as text
//
// A Plan caches the results for each cluster. Otherwise, a thousand placements that use scores
// would evaluate all clusters whenever one changes. change.go decides which changes touch a plan;
// named.go and roster.go have the counts over all placements.
package scheduling
