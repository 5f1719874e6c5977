// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package docs reads the commands and manifests in the documentation, so that tests can run them.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Block is a fenced block of a Markdown file.
type Block struct {
	// File is relative to the source tree. Line is that of the first line in the block, from 1.
	File string
	Line int
	// Language is the word after the fence.
	Language string
	// Test is what the comment above the block says to tests, empty without one.
	Test string
	// Lines are those of the block, without the indentation of the fence.
	Lines []string
}

// Place says where a line of the block is: FILE:LINE.
func (b Block) Place(line int) string { return fmt.Sprintf("%s:%d", b.File, b.Line+line) }

// Text returns the content of the block.
func (b Block) Text() string { return strings.Join(b.Lines, "\n") + "\n" }

// Files returns the documentation of the source tree at root: the README and what is in docs.
func Files(root string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for i := range files {
		files[i] = filepath.Join("docs", filepath.Base(files[i]))
	}
	return append([]string{"README.md"}, files...), nil
}

var (
	fence   = regexp.MustCompile("^( *)```([a-z]*)$")
	comment = regexp.MustCompile(`^ *<!-- test: (.*) -->$`)
)

// Read returns the blocks of a file of the source tree at root.
func Read(root, file string) ([]Block, error) {
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		return nil, err
	}
	return parse(file, string(content))
}

func parse(file, content string) ([]Block, error) {
	var blocks []Block
	lines := strings.Split(content, "\n")
	for i := 0; i < len(lines); i++ {
		open := fence.FindStringSubmatch(lines[i])
		if open == nil {
			continue
		}
		block := Block{File: file, Line: i + 2, Language: open[2]}
		if i > 0 {
			if said := comment.FindStringSubmatch(lines[i-1]); said != nil {
				block.Test = said[1]
			}
		}
		length := slices.Index(lines[i+1:], open[1]+"```")
		if length < 0 {
			return nil, fmt.Errorf("%s:%d: this block has no end", file, i+1)
		}
		for _, line := range lines[i+1 : i+1+length] {
			block.Lines = append(block.Lines, strings.TrimPrefix(line, open[1]))
		}
		blocks = append(blocks, block)
		i += length + 1
	}
	return blocks, nil
}
