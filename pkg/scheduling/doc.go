// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scheduling chooses clusters for a Placement: filters refuse clusters, prioritisers score what is left, and the
// best are selected. It calls nobody, knows no clock and decides the same for the same input, in whatever order that
// came.
//
// A Fleet holds what placements choose from. Compile turns a Placement into a Policy, and a Plan follows one Policy over
// a Fleet: its first pass looks at every cluster, each later one at those that have changed since.
//
// To follow one Placement, read the files in this order:
//
//	convert.go    what a ClusterProfile and its ClusterScores say, as a Cluster
//	fleet.go      the clusters, and views of them that nobody waits for
//	policy.go     Compile: a Placement as filters, prioritisers and a spread
//	plan.go       RunWhile: a pass, over what has changed
//	filter.go     a cluster as a placement sees it; taint.go and predicate.go refuse some, cel.go evaluates expressions
//	score.go      which ClusterScores count, and which have expired
//	prioritizer.go, rank.go   scores, and the order of clusters by them
//	choose.go     the selection: how many, who stays, who moves; spread.go and group.go divide it
//	explain.go    all of that in words, for one cluster
//
// A Plan keeps what it found of each cluster, for a thousand placements that read scores would otherwise look at all clusters whenever one
// changes: change.go says what touches a plan, named.go and roster.go hold what is counted over all placements.
package scheduling
