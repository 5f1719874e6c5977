// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Pages are all Markdown files of the source tree that a reader is led to.
func Pages(root string) ([]string, error) {
	files, err := Files(root)
	return append(files, "CONTRIBUTING.md"), err
}

var (
	heading = regexp.MustCompile(`^#+ (.*)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	dropped = regexp.MustCompile("[^a-z0-9 _-]")
)

// prose returns the lines of a Markdown file by their numbers, from 1, without those in fenced
// blocks.
func prose(root, file string) (map[int]string, error) {
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	lines := map[int]string{}
	fenced := false
	for i, line := range strings.Split(string(content), "\n") {
		if fence.MatchString(line) {
			fenced = !fenced
		} else if !fenced {
			lines[i+1] = line
		}
	}
	return lines, nil
}

// anchor returns what GitHub makes of a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// BrokenLinks returns the links of a page that lead to no file or heading of the source tree, each
// with its place. Links to other sites are not followed.
func BrokenLinks(root, page string) ([]string, error) {
	lines, err := prose(root, page)
	if err != nil {
		return nil, err
	}
	var broken []string
	for number, line := range lines {
		for _, found := range link.FindAllStringSubmatch(line, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if !leads(root, page, found[1]) {
				broken = append(broken, fmt.Sprintf("%s:%d: %s", page, number, found[1]))
			}
		}
	}
	return broken, nil
}

// leads returns whether a link of a page leads to something.
func leads(root, page, target string) bool {
	path, fragment, _ := strings.Cut(target, "#")
	to := page
	if path != "" {
		to = filepath.Join(filepath.Dir(page), path)
	}
	if _, err := os.Stat(filepath.Join(root, to)); err != nil {
		return false
	}
	if fragment == "" {
		return true
	}
	lines, err := prose(root, to)
	if err != nil {
		return false
	}
	for _, line := range lines {
		if found := heading.FindStringSubmatch(line); len(found) == 2 && anchor(found[1]) == fragment {
			return true
		}
	}
	return false
}
