// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import "time"

// candidate is a cluster as one placement sees it at one instant.
type candidate struct {
	*member
	// now is in nanoseconds.
	now int64
	// selected returns whether the placement's own decision names the cluster.
	selected bool
	// others is how often the decisions of other placements name it.
	others int32
	// spent is what expressions have cost, in the units of CEL.
	spent uint64
}

// filter refuses clusters.
type filter interface {
	// name is what explanations call the filter.
	name() string
	// passes returns whether the cluster is not refused, and if so the first instant at which it may be. A cluster that is
	// refused stays so until something other than the time changes.
	passes(c *candidate) (until int64, ok bool)
	// reason returns why the cluster is refused, in a few words for people.
	reason(c *candidate) string
}

func instant(nanoseconds int64) time.Time {
	if nanoseconds == forever {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds).UTC()
}
