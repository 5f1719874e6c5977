// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestRun_Usage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no namespace":             {want: "--namespace is required"},
		"an argument":              {args: []string{"--namespace=a", "b"}, want: "there are no arguments"},
		"an unknown flag":          {args: []string{"--nonsense"}, want: "unknown flag"},
		"a missing provider file":  {args: []string{"--namespace=a", "--provider-file=" + empty + ".none"}, want: "no such file"},
		"a kubeconfig with no hub": {args: []string{"--namespace=a", "--kubeconfig=" + empty}, want: "no configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// README.md has each flag.
func TestRun_README(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var usage strings.Builder
	if _, err := run(t.Context(), []string{"--help"}, io.Discard, &usage); !errors.Is(err, pflag.ErrHelp) {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^ +(--[a-z-]+)`).FindAllStringSubmatch(usage.String(), -1)
	if len(flags) < 10 {
		t.Fatalf("the usage is %s", usage.String())
	}
	for _, flag := range flags {
		if !strings.Contains(string(readme), "`"+flag[1]+"`") {
			t.Errorf("README.md lacks %s", flag[1])
		}
	}
}
