// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import "time"

// candidate is a cluster with the data of one placement, at one instant.
type candidate struct {
	*member
	// now is in nanoseconds.
	now int64
	// selected says that the placement's own decision has the cluster.
	selected bool
	// others is how often the decisions of other placements have it.
	others int32
	// spent is the cost of expressions so far, in the units of CEL.
	spent uint64
}

// filter refuses clusters.
type filter interface {
	// name returns the name of the filter in explanations.
	name() string
	// passes returns whether the filter accepts the cluster. until is the first instant at which it
	// may refuse an accepted cluster. A refused cluster stays refused until something other than
	// the time changes.
	passes(c *candidate) (until int64, ok bool)
	// reason returns why the cluster is refused, as a short text for users.
	reason(c *candidate) string
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == forever {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}
