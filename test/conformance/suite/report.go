// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	_ "embed" // for the page
	"fmt"
	"html/template"
	"io"
	"time"

	"sigs.k8s.io/yaml"
)

// Implementation is what a report says was checked.
type Implementation struct {
	Organization string `json:"organization"`
	Project      string `json:"project"`
	Version      string `json:"version"`
	URL          string `json:"url"`
}

// Result is what came of a spec: one of Passed, Failed, Skipped, or not Conformant.
type Result struct {
	ID          string   `json:"id"`
	Description string   `json:"desc"`
	Ref         string   `json:"ref"`
	Labels      []string `json:"labels"`
	Passed      bool     `json:"passed"`
	// Failed says that the suite could not tell.
	Failed     bool `json:"failed"`
	Skipped    bool `json:"skipped"`
	Conformant bool `json:"conformant"`
	// Message says why the spec has not passed, and Observed what was seen of one that has.
	Message  string `json:"message,omitempty"`
	Observed string `json:"observed,omitempty"`

	level Level
}

// Outcome returns the result in one word or two.
func (r *Result) Outcome() string {
	switch {
	case r.Passed:
		return "passed"
	case r.Skipped:
		return "skipped"
	case r.Failed:
		return "unknown"
	default:
		return "not conformant"
	}
}

// Group has the results of one level.
type Group struct {
	Name  Level    `json:"name"`
	Tests []Result `json:"tests"`
}

// Report has the results of all specs. The names of its fields in YAML are those of upstream's
// suite for the inventory, as far as that has them.
type Report struct {
	Groups         []Group        `json:"groups"`
	Passed         int            `json:"passed"`
	Total          int            `json:"total"`
	Time           string         `json:"time"`
	Implementation Implementation `json:"implementation"`
}

func newReport(implementation Implementation) *Report {
	return &Report{
		Groups: []Group{{Name: Required}, {Name: Optional}},
		Time:   time.Now().UTC().Format(time.RFC3339), Implementation: implementation,
	}
}

func (r *Report) add(result Result) {
	r.Total++
	if result.Passed {
		r.Passed++
	}
	for i := range r.Groups {
		if r.Groups[i].Name == result.level {
			r.Groups[i].Tests = append(r.Groups[i].Tests, result)
		}
	}
}

// Conformant returns whether no required spec was broken, or could not be told.
func (r *Report) Conformant() bool {
	for _, group := range r.Groups {
		for i := range group.Tests {
			if group.Name == Required && (group.Tests[i].Failed || !group.Tests[i].Conformant) {
				return false
			}
		}
	}
	return true
}

// YAML returns the report for programs.
func (r *Report) YAML() ([]byte, error) { return yaml.Marshal(r) }

//go:embed report.gohtml
var page string

// HTML returns the report for people, as a page of its own.
func (r *Report) HTML() ([]byte, error) {
	parsed, err := template.New("report").Parse(page)
	if err != nil {
		return nil, err
	}
	var written bytes.Buffer
	err = parsed.Execute(&written, r)
	return written.Bytes(), err
}

// Print writes a line for each spec.
func (r *Report) Print(out io.Writer) error {
	for _, group := range r.Groups {
		for i := range group.Tests {
			result := &group.Tests[i]
			if _, err := fmt.Fprintf(out, "%-14s  %-8s  %-21s  %s%s\n",
				result.Outcome(), group.Name, result.ID, result.Observed, result.Message); err != nil {
				return err
			}
		}
	}
	_, err := fmt.Fprintf(out, "%d of %d specs passed\n", r.Passed, r.Total)
	return err
}
