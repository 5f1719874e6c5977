// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scheduling chooses clusters for a Placement: filters refuse clusters, prioritisers score what is left, and the
// best are selected. It calls nobody, knows no clock and decides the same for the same input, in whatever order that
// came.
//
// A Fleet holds what placements choose from. Compile turns a Placement into a Policy, and a Plan follows one Policy over
// a Fleet: its first pass looks at every cluster, each later one at those that have changed since.
package scheduling
