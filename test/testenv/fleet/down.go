// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// lastToEnd are the programs that others need to end in good order, by the end of their names: each
// after the ones before it. All others end first.
var lastToEnd = []string{"-kube-controller-manager", "-kube-apiserver", "-etcd"}

// down ends what up started and is still the same process. Data stays.
func down(ctx context.Context, s settings, out io.Writer) error {
	return endAll(ctx, s, "", out)
}

// stopMember ends the programs of a member. Data stays.
func stopMember(ctx context.Context, s settings, name string, out io.Writer) error {
	return endAll(ctx, s, name+"-", out)
}

// replaceMember ends a member, removes its data and keys, and starts a new cluster of its name.
func replaceMember(ctx context.Context, s settings, name string, out io.Writer) error {
	if err := stopMember(ctx, s, name, out); err != nil {
		return err
	}
	for _, dir := range []string{s.clusterDir(name), s.kueueDir(name)} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return up(ctx, s, false, out)
}

// endAll ends the recorded processes whose names begin with prefix, each after those that need it.
func endAll(ctx context.Context, s settings, prefix string, out io.Writer) error {
	if !exists(s.records()) {
		return nil
	}
	return locked(ctx, s, downTimeout, out, func(ctx context.Context, report *progress) error {
		records, err := readRecords(s.records())
		if err != nil {
			return err
		}
		records = slices.DeleteFunc(records, func(r *record) bool { return !strings.HasPrefix(r.Name, prefix) })
		for phase := -1; phase < len(lastToEnd); phase++ {
			group, groupCtx := errgroup.WithContext(ctx)
			for _, r := range records {
				if endPhase(r.Name) == phase {
					group.Go(func() error { return end(groupCtx, s, r, report) })
				}
			}
			if err := group.Wait(); err != nil {
				return err
			}
		}
		return nil
	})
}

// endPhase returns when a program is to be ended: its index in lastToEnd, or -1.
func endPhase(name string) int {
	return slices.IndexFunc(lastToEnd, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}

// end stops a recorded process and forgets it.
func end(ctx context.Context, s settings, r *record, report *progress) error {
	if r.alive() {
		if err := r.stop(ctx, stopGrace); err != nil {
			return err
		}
		report.printf("%s: process %d ended", r.Name, r.PID)
	}
	return r.remove(s.records())
}
