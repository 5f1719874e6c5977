// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"fmt"
	"testing"

	"clusterpass.dev/test/testenv"
)

// callsPerSweep is what docs/operations.md says of a sweep: a list of each kind that a grant has on
// a member, but for Secrets.
const callsPerSweep = 5

// A sweep that finds nothing is five calls, however many grants there are.
func TestSweep_Cost(t *testing.T) {
	for _, account := range []string{"idle-a", "idle-b", "idle-c"} {
		mint(t, "default", "smartfish", account, everyKind)
	}
	// A sweep may be under way when the metrics are read, and grants of other tests are still being
	// worked on for a while: what counts is that then, and for six sweeps, nothing else calls a
	// member. A call that was cut off is made again, after which it begins anew.
	var from cost
	testenv.Eventually(t, func(context.Context) error {
		now := costSoFar(t)
		sweeps, calls := now.sweeps-from.sweeps, now.calls-from.calls
		switch {
		case from == cost{} || calls > callsPerSweep*(sweeps+2) || sweeps >= 12:
			from = now
			return fmt.Errorf("%v calls for %v sweeps", calls, sweeps)
		case sweeps < 6:
			return fmt.Errorf("only %v sweeps", sweeps)
		case calls != callsPerSweep*sweeps:
			return fmt.Errorf("%v calls for %v sweeps", calls, sweeps)
		}
		return nil
	})
}

// cost is what the controller manager has done to members so far.
type cost struct{ sweeps, calls float64 }

func costSoFar(t *testing.T) cost {
	t.Helper()
	metrics := testenv.Scrape(t, shared.Manager)
	sum := func(name string) (total float64) {
		for _, sample := range metrics[name] {
			total += float64(sample.Value)
		}
		return total
	}
	return cost{sweeps: sum("clusterpass_member_sweeps_total"), calls: sum("clusterpass_member_calls_total")}
}
