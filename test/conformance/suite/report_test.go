// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// The table of the README is that of the specs.
func TestSpecs_README(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| spec | side | level | rule |\n|---|---|---|---|\n")
	ids := map[string]bool{}
	for _, spec := range Specs() {
		if ids[spec.ID] {
			t.Errorf("two specs are called %s", spec.ID)
		}
		ids[spec.ID] = true
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", spec.ID, spec.Side, spec.Level, spec.Sentence)
	}
	if !strings.Contains(string(readme), "\n"+table.String()+"\n") {
		t.Errorf("the table of README.md is to be:\n%s", table.String())
	}
}

func TestReport(t *testing.T) {
	h, _ := fakeHub(newProfile("a", labelled(labelManager, "<script>alert(1)</script>")))
	h.Implementation = Implementation{Project: `<img src="x">`, Version: "v1.2.3", URL: "javascript:alert(1)"}
	report := h.run(t.Context())
	page, err := report.HTML()
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"<script", "<img", `href="javascript`} {
		if strings.Contains(string(page), wrong) {
			t.Errorf("the page has %s", wrong)
		}
	}
	if !strings.Contains(string(page), "&lt;script&gt;") || !strings.Contains(string(page), "v1.2.3") {
		t.Errorf("the page lacks what it is about:\n%s", page)
	}
	data, err := report.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Groups []struct {
			Name  string
			Tests []Result
		}
		Passed, Total  int
		Implementation Implementation
	}
	if err := yaml.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	if len(read.Groups) != 2 || read.Groups[0].Name != "Required" || read.Groups[1].Name != "Optional" ||
		read.Total != len(Specs()) || read.Implementation != h.Implementation {
		t.Errorf("got %s", data)
	}
	counted := 0
	for _, group := range read.Groups {
		for _, result := range group.Tests {
			if result.Passed {
				counted++
			}
			if result.ID == "manager-label" && (result.Conformant || !strings.Contains(result.Message, "<script>")) {
				t.Errorf("got %+v", result)
			}
		}
	}
	if counted != read.Passed {
		t.Errorf("%d passed, and the report counts %d", counted, read.Passed)
	}
}

func TestReport_Conformant(t *testing.T) {
	for name, test := range map[string]struct {
		result Result
		want   bool
	}{
		"required and passed":       {result: Result{level: Required, Conformant: true, Passed: true}, want: true},
		"required and skipped":      {result: Result{level: Required, Conformant: true, Skipped: true}, want: true},
		"required and not known":    {result: Result{level: Required, Conformant: true, Failed: true}},
		"required and broken":       {result: Result{level: Required}},
		"optional and broken":       {result: Result{level: Optional}, want: true},
		"optional and not known":    {result: Result{level: Optional, Conformant: true, Failed: true}, want: true},
		"optional and not required": {result: Result{level: Optional, Conformant: true, Passed: true}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			report := newReport(Implementation{})
			report.add(test.result)
			if report.Conformant() != test.want {
				t.Errorf("got %v", report.Conformant())
			}
		})
	}
}

// A run ends with its window, and writes nothing to the hub.
func TestRun(t *testing.T) {
	h, client := fakeHub(newProfile("a"), newProfile("a", in("other")), newSlice("s", "k", "0", "a"))
	h.WatchFor = 100 * time.Millisecond
	report := h.run(t.Context())
	if !report.Conformant() || report.Total != len(Specs()) {
		t.Errorf("got %+v", report)
	}
	for _, action := range client.Actions() {
		if verb := action.GetVerb(); verb != "list" && verb != "watch" {
			t.Errorf("the suite does %s", verb)
		}
	}
}

func TestShorten(t *testing.T) {
	if got := shorten("a\x1b[31m\nb\u202eäöü", 9); got != "a [31m b ..." {
		t.Errorf("got %q", got)
	}
	if got := these(names(7)); !strings.HasSuffix(got, "cluster-004; and 2 more") {
		t.Errorf("got %q", got)
	}
}
