// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"strings"
)

// Print writes findings for people: a line for each check with its worst verdict, and indented what is not OK,
// each with what mends it. Findings of a check stand together, as Run returns them.
func Print(w io.Writer, all []Finding) error {
	for len(all) > 0 {
		count := 1
		for count < len(all) && all[count].Check == all[0].Check {
			count++
		}
		if err := printCheck(w, all[:count]); err != nil {
			return err
		}
		all = all[count:]
	}
	return nil
}

func printCheck(w io.Writer, ofOne []Finding) error {
	var b strings.Builder
	worst := Worst(ofOne)
	fmt.Fprintf(&b, "%-4s  %s: %s\n", worst, ofOne[0].Check, summary(ofOne))
	for _, finding := range ofOne {
		if finding.Verdict == OK || len(ofOne) == 1 && finding.Mend == "" {
			continue
		}
		if len(ofOne) > 1 {
			fmt.Fprintf(&b, "      %-4s  %s\n", finding.Verdict, finding.words())
		}
		if finding.Mend != "" {
			fmt.Fprintf(&b, "            %s\n", finding.Mend)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// summary says what the only finding says, or how many there are of each verdict.
func summary(ofOne []Finding) string {
	if len(ofOne) == 1 {
		return ofOne[0].words()
	}
	counts := map[Verdict]int{}
	for _, finding := range ofOne {
		counts[finding.Verdict]++
	}
	var words []string
	for _, verdict := range []Verdict{Fail, Warn, OK, Skip} {
		if counts[verdict] > 0 {
			words = append(words, fmt.Sprintf("%d %s", counts[verdict], verdict))
		}
	}
	return strings.Join(words, ", ")
}

// words says what the finding is about and what it is, on one line: others' words may have several.
func (f Finding) words() string {
	message := strings.Join(strings.Fields(f.Message), " ")
	if f.About == "" {
		return message
	}
	return f.About + ": " + message
}
