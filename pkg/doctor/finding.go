// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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

// unknown reports that the hub did not say what was asked: Skip where the caller may not ask, else Fail.
func (f *findings) unknown(about string, err error) {
	if apierrors.IsForbidden(err) {
		f.skip(about, "you may not look: %v", err)
		return
	}
	f.fail(about, "See what the checks apiservices and openapi found first: kubectl get --raw /readyz?verbose", "the hub does not answer: %v", err)
}
