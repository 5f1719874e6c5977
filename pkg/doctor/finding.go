// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"io"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// Verdict is what a check has come to.
type Verdict string

// The verdicts, from the best to the worst.
const (
	// Skip: it could not be looked at, and why; mostly because the caller may not.
	Skip Verdict = "skip"
	// OK: it is as it should be.
	OK Verdict = "ok"
	// Warn: it works, and somebody should look at it.
	Warn Verdict = "warn"
	// Fail: something does not work, or is not safe.
	Fail Verdict = "FAIL"
)

// severity orders verdicts. What was skipped counts less than what was seen.
var severity = map[Verdict]int{Skip: 0, OK: 1, Warn: 2, Fail: 3}

// Worst returns the worst verdict of findings, Skip if there are none.
func Worst(findings []Finding) Verdict {
	worst := Skip
	for _, f := range findings {
		if severity[f.Verdict] > severity[worst] {
			worst = f.Verdict
		}
	}
	return worst
}

// Finding is one thing that a check has found.
type Finding struct {
	// Check is the name of the check.
	Check string `json:"check"`
	// Verdict is how good or bad it is.
	Verdict Verdict `json:"verdict"`
	// About names the object, with its kind; empty if it is about the installation as a whole.
	About string `json:"about,omitempty"`
	// Message says what was found.
	Message string `json:"message"`
	// Mend says what to do about it, in one sentence with a command; empty if nothing is to be done.
	Mend string `json:"mend,omitempty"`
}

// findings are what one check collects.
type findings []Finding

func (f *findings) ok(about, format string, args ...any) {
	f.add(OK, about, "", format, args...)
}

func (f *findings) skip(about, format string, args ...any) {
	f.add(Skip, about, "", format, args...)
}

func (f *findings) warn(about, mend, format string, args ...any) {
	f.add(Warn, about, mend, format, args...)
}

func (f *findings) fail(about, mend, format string, args ...any) {
	f.add(Fail, about, mend, format, args...)
}

func (f *findings) add(verdict Verdict, about, mend, format string, args ...any) {
	*f = append(*f, Finding{Verdict: verdict, About: about, Mend: mend, Message: fmt.Sprintf(format, args...)})
}

// onlyIn reports that only one namespace is checked, where the caller may not list a kind in all.
func (f *findings) onlyIn(namespace, kind string) {
	if namespace != "" {
		f.skip(kind, "you may not list those of all namespaces: only %s is checked", namespace)
	}
}

// aboutObject names an object with its kind.
func aboutObject(kind string, object metav1.Object) string {
	return kind + " " + cache.MetaObjectToName(object).String()
}

// unknown returns whether the hub did not say what was asked, and reports it: as Skip where the
// caller may not ask, else as Fail.
func (f *findings) unknown(about string, err error) bool {
	if apierrors.IsForbidden(err) {
		f.skip(about, "you may not read this: %v", err)
	} else if err != nil {
		f.fail(about, "First see what the checks apiservices and openapi found: kubectl get --raw /readyz?verbose",
			"the hub does not answer: %v", err)
	}
	return err != nil
}

// found returns whether the hub has an object, by the error of its answer. That it has none is
// reported with a verdict, a mend and what missing says.
func (f *findings) found(about string, err error, verdict Verdict, mend, missing string) bool {
	if apierrors.IsNotFound(err) {
		f.add(verdict, about, mend, "%s", missing)
		return false
	}
	return !f.unknown(about, err)
}

// Print writes findings for people: a line for each check with its worst verdict, and indented what
// is not OK, each with what mends it. Findings of a check stand together, as Run returns them.
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
