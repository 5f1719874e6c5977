// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memory is that of one process, in KiB.
type memory struct {
	// RSS is what is resident now, Peak the most that ever was.
	RSS  int64 `json:"rssKiB"`
	Peak int64 `json:"peakKiB"`
}

// process is one whose memory is watched.
type process struct {
	Name string `json:"name"`
	// Observed is its memory by the moments at which it was looked at.
	Observed map[string]memory `json:"observed"`
	pid      int
}

type processes []process

// observe records the memory of all processes at a moment.
func (p processes) observe(moment string) error {
	for i := range p {
		observed, err := processMemory(p[i].pid)
		if err != nil {
			return fmt.Errorf("memory of %s: %w", p[i].Name, err)
		}
		if p[i].Observed == nil {
			p[i].Observed = map[string]memory{}
		}
		p[i].Observed[moment] = observed
	}
	return nil
}

// processMemory reads the memory of a process from Linux's /proc.
func processMemory(pid int) (memory, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	file, err := os.Open(path)
	if err != nil {
		return memory{}, err
	}
	defer file.Close()
	var m memory
	fields := map[string]*int64{"VmRSS": &m.RSS, "VmHWM": &m.Peak}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		into, wanted := fields[name]
		if !wanted {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		if *into, err = strconv.ParseInt(number, 10, 64); err != nil {
			return memory{}, fmt.Errorf("%s: %s: %w", path, name, err)
		}
	}
	if err := lines.Err(); err != nil {
		return memory{}, err
	}
	if m.RSS == 0 || m.Peak == 0 {
		return memory{}, fmt.Errorf("%s has no VmRSS and VmHWM", path)
	}
	return m, nil
}
