// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// comparison is one row of the report: the same requests to both sides.
type comparison struct {
	Name        string  `json:"name"`
	Concurrency int     `json:"concurrency"`
	Rounds      int     `json:"rounds"`
	Ours        figures `json:"ours"`
	Theirs      figures `json:"theirs"`
	// Latency is the ratio of the median latencies, Rate that of the rates: ours to theirs.
	Latency ratio `json:"latencyRatio"`
	Rate    ratio `json:"rateRatio"`
	// Failed counts calls of both sides, Failure is the error of one of them.
	Failed  int    `json:"failed"`
	Failure string `json:"failure,omitempty"`
	// Goal says what is wanted, if anything is, and Met whether it was reached.
	Goal string `json:"goal,omitempty"`
	Met  bool   `json:"goalMet,omitempty"`
}

// goal bounds a ratio; 0 is no bound.
type goal struct {
	// tailAtMost bounds the ratio of the 99th percentiles.
	latencyAtMost, tailAtMost, rateAtLeast float64
}

// check returns the goal in words, empty if there is none, and whether c meets it.
func (g goal) check(c comparison) (words string, met bool) {
	switch {
	case g.latencyAtMost > 0:
		return fmt.Sprintf("latency ratio at most %.2f", g.latencyAtMost), c.Latency.Median <= g.latencyAtMost
	case g.tailAtMost > 0:
		return fmt.Sprintf("p99 ratio at most %.2f", g.tailAtMost), c.Ours.P99 <= g.tailAtMost*c.Theirs.P99
	case g.rateAtLeast > 0:
		return fmt.Sprintf("rate ratio at least %.2f", g.rateAtLeast), c.Rate.Median >= g.rateAtLeast
	}
	return "", false
}

// report is everything found out.
type report struct {
	Machine machine `json:"machine"`
	// Seconds is how long each side was under load for a measurement that time bounds.
	Seconds float64 `json:"seconds"`
	Seed    uint64  `json:"seed"`
	Runs    []run   `json:"runs"`
}

// run is one time through all parts.
type run struct {
	Tokens     []comparison      `json:"tokens,omitempty"`
	Inventory  *inventoryResult  `json:"inventory,omitempty"`
	Placements *placementsResult `json:"placements,omitempty"`
	Hostile    []comparison      `json:"hostile,omitempty"`
}

// comparisons returns those of all parts.
func (r run) comparisons() []comparison {
	all := slices.Concat(r.Tokens, r.Hostile)
	if r.Inventory != nil {
		all = append(all, r.Inventory.Comparisons...)
	}
	if r.Placements != nil {
		all = append(all, r.Placements.Passes...)
		for i := range r.Placements.Changes {
			all = append(all, r.Placements.Changes[i].comparison)
		}
	}
	return all
}

// failed returns how many calls failed in all runs.
func (r report) failed() int {
	failed := 0
	for _, run := range r.Runs {
		for _, c := range run.comparisons() {
			failed += c.Failed
		}
	}
	return failed
}

func (r report) writeJSON(out io.Writer) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeText writes the report as tables for people.
func (r report) writeText(out io.Writer) {
	m := r.Machine
	fmt.Fprintf(out, "machine   %d cores (%s), %s of memory, Linux %s; load before %s; fsync of 4 KiB %.2f ms\n",
		m.Cores, m.CPU, m.Memory, m.Kernel, m.Load, m.Fsync)
	fmt.Fprintf(out, "programs  %s\n", strings.Join(m.Versions, ", "))
	fmt.Fprintf(out, "settings  seed %d, %g s a side where time bounds it; "+
		"ratios are ours to theirs: the median of all rounds (lowest-highest)\n", r.Seed, r.Seconds)
	for i, run := range r.Runs {
		if len(r.Runs) > 1 {
			fmt.Fprintf(out, "\nRun %d of %d\n", i+1, len(r.Runs))
		}
		run.writeText(out)
	}
	if len(r.Runs) > 1 {
		fmt.Fprintf(out, "\nThe ratios of all runs\n\n")
		r.writeRatios(out)
	}
}

func (r run) writeText(out io.Writer) {
	if r.Hostile != nil {
		fmt.Fprintf(out, "\nHostile: ours is what somebody gets beside %d clients that cost what they can, theirs the same alone\n\n",
			hostileClients)
		writeComparisons(out, r.Hostile)
	}
	if r.Tokens != nil {
		fmt.Fprintf(out, "\nTokens: ours is a warm AuthTokenRequest through the hub, theirs the same TokenRequest sent to the member\n\n")
		writeComparisons(out, r.Tokens)
	}
	if r.Inventory != nil {
		fmt.Fprintf(out, "\nInventory of %d ClusterProfiles: ours through the hub, theirs as upstream's CRD in a kube-apiserver; "+
			"a list is %.1f MB and %.1f MB\n\n",
			r.Inventory.Objects, megabytes(r.Inventory.ListBytes[ours]), megabytes(r.Inventory.ListBytes[theirs]))
		writeComparisons(out, r.Inventory.Comparisons)
		fmt.Fprintf(out, "\nMemory, resident (peak), in MiB\n\n")
		writeMemory(out, r.Inventory.Memory)
	}
	if r.Placements != nil {
		r.Placements.writeText(out)
	}
}

func (r *placementsResult) writeText(out io.Writer) {
	fmt.Fprintf(out, "\nPasses that select %d clusters: ours after one change, theirs over all clusters\n\n", selected)
	writeComparisons(out, r.Passes)
	fmt.Fprintf(out, "\nChanges of %d ClusterProfiles with %d Placements: ours until all decisions that it touches show it, "+
		"theirs until a watch shows one that no placement reads\n\n", placedProfiles, poolPlacements+widePlacements)
	changes := make([]comparison, len(r.Changes))
	for i := range changes {
		changes[i] = r.Changes[i].comparison
	}
	writeComparisons(out, changes)
	fmt.Fprintf(out, "\nWhat one change took\n\n")
	table := newTable(out)
	table.row("", "placements woken", "writes of decisions", "writes of status")
	for _, c := range r.Changes {
		table.row(c.Name, number(c.PerChange.Passes), number(c.PerChange.DecisionWrites), number(c.PerChange.StatusWrites))
	}
	table.row(fmt.Sprintf("%d heartbeats, in all", r.Heartbeats),
		number(r.HeartbeatCost.Passes), number(r.HeartbeatCost.DecisionWrites), number(r.HeartbeatCost.StatusWrites))
	table.end()
}

func writeComparisons(out io.Writer, comparisons []comparison) {
	table := newTable(out)
	table.row("", "c", "latency ratio", "rate ratio", "ours p50 ms", "p99 ms", "per s",
		"theirs p50 ms", "p99 ms", "per s", "calls", "failed", "goal")
	for _, c := range comparisons {
		goal := c.Goal
		if goal != "" && c.Met {
			goal += ": met"
		} else if goal != "" {
			goal += ": MISSED"
		}
		table.row(c.Name, c.Concurrency, c.Latency, c.Rate,
			number(c.Ours.P50), number(c.Ours.P99), number(c.Ours.Rate),
			number(c.Theirs.P50), number(c.Theirs.P99), number(c.Theirs.Rate),
			fmt.Sprintf("%d+%d", c.Ours.Calls, c.Theirs.Calls), c.Failed, goal)
	}
	table.end()
	for _, c := range comparisons {
		if c.Failure != "" {
			fmt.Fprintf(out, "%s at concurrency %d failed: %s\n", c.Name, c.Concurrency, c.Failure)
		}
	}
}

func writeMemory(out io.Writer, processes processes) {
	table := newTable(out)
	table.row("", "no object", "all stored", "after the reads")
	for _, p := range processes {
		table.row(p.Name, p.Observed[momentEmpty], p.Observed[momentStored], p.Observed[momentRead])
	}
	table.end()
}

// writeRatios shows how far the runs agree.
func (r report) writeRatios(out io.Writer) {
	table := newTable(out)
	table.row("", "c", "latency ratio", "rate ratio")
	for i, first := range r.Runs[0].comparisons() {
		var latencies, rates []string
		for _, run := range r.Runs {
			c := run.comparisons()[i]
			latencies = append(latencies, fmt.Sprintf("%.2f", c.Latency.Median))
			rates = append(rates, fmt.Sprintf("%.2f", c.Rate.Median))
		}
		table.row(first.Name, first.Concurrency, strings.Join(latencies, " "), strings.Join(rates, " "))
	}
	table.end()
}

// String returns the ratio and how far its rounds are apart.
func (r ratio) String() string {
	return fmt.Sprintf("%.2f (%.2f-%.2f)", r.Median, r.Lowest, r.Highest)
}

// String returns the memory in MiB.
func (m memory) String() string {
	return fmt.Sprintf("%d (%d)", m.RSS/1024, m.Peak/1024)
}

// number returns v with about three digits, which is more than a run can be trusted for.
func number(v float64) string {
	switch {
	case v > 0 && v < 0.1:
		return fmt.Sprintf("%.4f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func megabytes(bytes int) float64 { return float64(bytes) / 1e6 }

// table aligns rows in columns.
type table struct {
	writer *tabwriter.Writer
}

func newTable(out io.Writer) table {
	return table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
}

func (t table) row(cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(t.writer, "\t")
		}
		fmt.Fprint(t.writer, cell)
	}
	fmt.Fprintln(t.writer)
}

// end writes the rows out. What the writer below cannot take is not reported, like everything that
// is printed here.
func (t table) end() { _ = t.writer.Flush() }
