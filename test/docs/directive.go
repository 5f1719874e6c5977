// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"fmt"
	"strings"
)

// Directive is what the comment above a block says to tests, in parts with semicolons between them:
//
//	<!-- test: as alice; given GPUs on bravelion; with MEMBER=bravelion -->
//
//	as USER            who runs the commands: the user whom the text addresses
//	given WORDS        what has to be there before, by a name that the test knows
//	with NAME=VALUE    what the reader puts in place of NAME
//	save FILE          the reader saves the block under this name
//	equals FILE        the block is this file of the source tree, but for the comment at its head
//	make               the commands are targets of make, and are looked for alone
//	in TEST            this test of test/e2e runs the commands, as the admin, because they can't be run among others
//	not run: WORDS     nobody runs the block, and why. The last part
type Directive struct {
	User, Given, Save, Equals, In, NotRun string
	With                                  map[string]string
	Make                                  bool
}

// Directive returns what the comment above the block says.
func (b Block) Directive() (Directive, error) {
	d := Directive{With: map[string]string{}}
	if b.Test == "" {
		return d, fmt.Errorf("%s: nothing says who runs this block: put <!-- test: as USER --> above it, or <!-- test: not run: WHY -->; "+
			"test/docs/directive.go has the rest", b.Place(0))
	}
	said, why, _ := strings.Cut(b.Test, "not run: ")
	d.NotRun = why
	for part := range strings.SplitSeq(said, ";") {
		word, rest, _ := strings.Cut(strings.TrimSpace(part), " ")
		switch word {
		case "":
		case "as":
			d.User = rest
		case "given":
			d.Given = rest
		case "with":
			name, value, _ := strings.Cut(rest, "=")
			d.With[name] = value
		case "save":
			d.Save = rest
		case "equals":
			d.Equals = rest
		case "in":
			d.In = rest
		case "make":
			d.Make = true
		default:
			return d, fmt.Errorf("%s: test/docs/directive.go knows no %q", b.Place(0), part)
		}
	}
	if d.User == "" && d.Save == "" && d.Equals == "" && d.In == "" && d.NotRun == "" && !d.Make {
		return d, fmt.Errorf("%s: %q does not say who runs this block", b.Place(0), b.Test)
	}
	return d, nil
}

// Command is what a reader types.
type Command struct {
	// Line is the first of its lines in the block, from 0.
	Line int
	Text string
}

// Commands returns the commands of a block of a terminal: a line that begins with "$ ", and those
// after it that begin with "> ", or follow a backslash. All others are what the terminal answers.
func (b Block) Commands() []Command {
	var commands []Command
	continued := false
	for i, line := range b.Lines {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, Command{Line: i, Text: command})
		} else if more, ok := strings.CutPrefix(line, "> "); len(commands) > 0 && (ok || continued) {
			commands[len(commands)-1].Text += "\n" + more
		} else {
			continue
		}
		continued = strings.HasSuffix(line, `\`)
	}
	return commands
}
