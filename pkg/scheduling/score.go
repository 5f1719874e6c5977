// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Figures are the values and scores of one ClusterScore.
type Figures struct {
	// Values are amounts by name.
	Values map[string]resource.Quantity
	// Scores are scores by name.
	Scores map[string]int32
	// ValidUntil is the last instant at which the figures are valid; zero if they never expire.
	ValidUntil time.Time
}

// expiry returns the first instant at which the figures are not valid any more.
func (f *Figures) expiry() int64 {
	if f.ValidUntil.IsZero() {
		return forever
	}
	return f.ValidUntil.UnixNano() + 1
}

// freshFigures returns the valid figures of a resource name, or nil. expired says that there are
// figures which have expired: the score is stale.
func (c *candidate) freshFigures(resourceName string) (figures *Figures, expired bool) {
	figures, here := c.Scores[resourceName]
	if !here || c.now < figures.expiry() {
		return figures, false
	}
	return nil, true
}

func sameFigures(a, b *Figures, now time.Time) bool {
	known := func(f *Figures) bool { return now.UnixNano() < f.expiry() }
	return known(a) == known(b) && a.expiry() <= b.expiry() && maps.Equal(a.Scores, b.Scores) &&
		maps.EqualFunc(a.Values, b.Values, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}
