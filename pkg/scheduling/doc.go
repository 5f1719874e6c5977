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
//	cluster.go      a ClusterProfile and its ClusterScores, converted to a Cluster
//	fleet.go        the clusters, counts over all placements, and views of them without a lock
//	policy.go       Compile: a Placement as filters and prioritisers; which changes affect it
//	plan.go         RunWhile: a pass over the changed clusters
//	predicate.go    the first filter
//	cel.go          the expressions of the first filter; cel_check.go refuses costly ones
//	taint.go        the second filter
//	score.go        the ClusterScores, and whether they have expired
//	prioritizer.go  the sources of scores; rank.go orders clusters by them
//	choose.go       how many clusters are selected, and which stay or move
//	spread.go       the selection with topologies; group.go divides what is selected
//	explain.go      the result for each cluster, as text
//
// A Plan caches the results for each cluster. Otherwise, a thousand placements that use scores
// would evaluate all clusters whenever one changes. What it caches is at the type Plan.
package scheduling
