// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"

	"clusterpass.dev/test/testenv"
)

// programs returns those of the whole fleet.
func (f *fleet) programs() ([]testenv.Program, error) {
	var programs []testenv.Program
	for _, cluster := range append([]*testenv.Cluster{f.hub}, f.members...) {
		of, err := cluster.Programs()
		if err != nil {
			return nil, err
		}
		programs = append(programs, of...)
	}
	server, err := f.server.Program()
	if err != nil {
		return nil, err
	}
	manager, err := f.manager.Program()
	if err != nil {
		return nil, err
	}
	programs = append(programs, server, manager)
	for _, cluster := range f.kueue {
		of, err := cluster.programs()
		if err != nil {
			return nil, err
		}
		programs = append(programs, of...)
	}
	return programs, nil
}

// status lists the programs, and fails unless all serve.
func status(ctx context.Context, s settings, out io.Writer) error {
	f, err := newFleet(s)
	if err != nil {
		return err
	}
	programs, err := f.programs()
	if err != nil {
		return err
	}
	down := 0
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tPID\tSTATE\tPORTS\tLOG")
	for _, program := range programs {
		pid, state, err := stateOf(ctx, s, program)
		if err != nil {
			return err
		}
		if state != serving {
			down++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", program.Name, pid, state, fmt.Sprint(program.Ports), program.Log)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if down > 0 {
		return fmt.Errorf("%d of %d processes do not serve", down, len(programs))
	}
	return nil
}

const serving = "serves"

// stateOf returns the pid of a program's process, "-" if it has none, and its state in a word or
// two.
func stateOf(ctx context.Context, s settings, program testenv.Program) (pid, state string, err error) {
	r, err := readRecord(s.records(), program.Name)
	if err != nil {
		return "", "", err
	}
	if r == nil || !r.alive() {
		return "-", "does not run", nil
	}
	if program.Ready(ctx) != nil {
		return strconv.Itoa(r.PID), "does not answer", nil
	}
	return strconv.Itoa(r.PID), serving, nil
}
