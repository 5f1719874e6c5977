// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command bench measures clusterpass against what users run today, on one machine and with real
// processes: tokens minted through the hub against TokenRequests sent to the member itself,
// ClusterProfiles served by clusterpass-apiserver against the same as upstream's CRD, and
// placements decided after one change against a look at every cluster, and until a decision shows a
// change against until a watch does; and what one user gets beside another whose requests are all
// refused, beside members that lie, placements that cost much and sets that may have nothing,
// against the same alone. The two sides take turns of about a second under the same load, and the
// ratio between them is what counts. docs/performance.md says more.
//
// It starts everything it needs, on free ports of 127.0.0.1, and ends it. It fails if any measured
// request does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// parallel is the concurrency that rates are measured at.
	parallel = 16
	// readRounds is how many turns a side has within -duration.
	readRounds = 10
	// runTimeout bounds one run of all parts, which takes about eleven minutes on two cores.
	runTimeout = 20 * time.Minute

	onlyTokens     = "tokens"
	onlyInventory  = "inventory"
	onlyPlacements = "placements"
	onlyHostile    = "hostile"

	onlyHostileMembers    = "hostile-members"
	onlyHostilePlacements = "hostile-placements"
	onlyHostileSets       = "hostile-sets"
)

var parts = []string{onlyTokens, onlyInventory, onlyPlacements, onlyHostile, onlyHostileMembers, onlyHostilePlacements, onlyHostileSets}

// settings are the flags.
type settings struct {
	only     string
	objects  int
	duration time.Duration
	runs     int
	seed     uint64
	output   string
	// progress says what is being done.
	progress func(format string, args ...any)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 1 && args[0] == liarsCommand {
		return serveLiars(os.Stdin, out)
	}
	s, err := parse(args, progress)
	if err != nil {
		return err
	}
	r := report{Seconds: s.duration.Seconds(), Seed: s.seed}
	if r.Machine, err = describeMachine(ctx, os.TempDir()); err != nil {
		return err
	}
	for range s.runs {
		run, err := s.run(ctx)
		if err != nil {
			return err
		}
		r.Runs = append(r.Runs, run)
	}
	if s.output == "json" {
		err = r.writeJSON(out)
	} else {
		r.writeText(out)
	}
	if failed := r.failed(); failed > 0 {
		return fmt.Errorf("%d requests failed: the figures are worth nothing", failed)
	}
	return err
}

func parse(args []string, progress io.Writer) (settings, error) {
	begin := time.Now()
	s := settings{progress: func(format string, args ...any) {
		fmt.Fprintf(progress, "[%5.1f s] %s\n", time.Since(begin).Seconds(), fmt.Sprintf(format, args...))
	}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&s.only, "only", "", "the one part to run: "+strings.Join(parts, ", "))
	flags.IntVar(&s.objects, "objects", 10_000, "number of ClusterProfiles, a multiple of 100")
	flags.DurationVar(&s.duration, "duration", 8*time.Second,
		"how long each side is under load for each figure that no number of objects bounds")
	flags.IntVar(&s.runs, "runs", 1, "how often to do everything, with new processes, to see how far the runs agree")
	flags.Uint64Var(&s.seed, "seed", 1, "decides what is in the objects and in which order they are read")
	flags.StringVar(&s.output, "o", "text", "format of the report: text or json")
	if err := flags.Parse(args); err != nil {
		return settings{}, err
	}
	return s, s.validate(flags.NArg())
}

func (s settings) validate(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("there are no arguments, only flags")
	case s.only != "" && !slices.Contains(parts, s.only):
		return fmt.Errorf("-only is one of %s, not %q", strings.Join(parts, ", "), s.only)
	case s.objects <= 0 || s.objects%100 != 0:
		return fmt.Errorf("-objects is a multiple of 100, not %d", s.objects)
	case s.duration < time.Second:
		return fmt.Errorf("-duration is at least 1s, not %s", s.duration)
	case s.runs < 1:
		return fmt.Errorf("-runs is at least 1, not %d", s.runs)
	case s.output != "text" && s.output != "json":
		return fmt.Errorf("-o is text or json, not %q", s.output)
	}
	return nil
}

// run does all wanted parts once, each with processes of its own.
func (s settings) run(ctx context.Context) (run, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	var r run
	hostile := func(measure func(context.Context, settings, *environment) ([]comparison, error)) func(*environment) error {
		return func(env *environment) error {
			comparisons, err := measure(ctx, s, env)
			r.Hostile = append(r.Hostile, comparisons...)
			return err
		}
	}
	for _, part := range []struct {
		name string
		do   func(*environment) error
	}{
		{onlyTokens, func(env *environment) (err error) { r.Tokens, err = measureTokens(ctx, s, env); return err }},
		{onlyInventory, func(env *environment) (err error) { r.Inventory, err = measureInventory(ctx, s, env); return err }},
		{onlyPlacements, func(env *environment) (err error) { r.Placements, err = measurePlacements(ctx, s, env); return err }},
		{onlyHostile, hostile(measureHostile)},
		{onlyHostileMembers, hostile(measureHostileMembers)},
		{onlyHostilePlacements, hostile(measureHostilePlacements)},
		{onlyHostileSets, hostile(measureHostileSets)},
	} {
		if s.only != "" && s.only != part.name {
			continue
		}
		if err := s.part(part.do); err != nil {
			return r, err
		}
	}
	return r, nil
}

// part runs one part in an environment of its own. The files of that are kept if the part fails,
// and the error says where.
func (s settings) part(do func(*environment) error) error {
	env, err := newEnvironment()
	if err != nil {
		return err
	}
	if err := do(env); err != nil {
		env.end()
		return fmt.Errorf("%w (logs are kept in %s)", err, env.dir)
	}
	return env.close()
}

// timed returns m bounded by -duration, which its rounds share.
func (s settings) timed(m measurement) measurement {
	m.rounds = readRounds
	m.slice = limit{time: s.duration / readRounds}
	m.warmUp = m.slice
	return m
}
