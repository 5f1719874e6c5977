// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command conformance checks whether a hub keeps the rules of the Cluster Inventory API, as cluster
// managers, consumers and schedulers have to, and writes a report in YAML and as a page. README.md
// says how to use it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/test/conformance/suite"
)

// What the program ends with.
const (
	exitConformant    = 0
	exitNotConformant = 1
	exitUsage         = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	conformant, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, pflag.ErrHelp):
		os.Exit(exitConformant)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(exitUsage)
	case !conformant:
		os.Exit(exitNotConformant)
	}
}

// run checks the hub and returns whether it is conformant. An error says why nothing was checked,
// or no report written.
func run(ctx context.Context, args []string, out, log io.Writer) (bool, error) {
	options := suite.Options{Log: log}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	var overrides clientcmd.ConfigOverrides
	var providers, reports string
	flags := pflag.NewFlagSet("conformance", pflag.ContinueOnError)
	flags.SetOutput(log)
	flags.StringVar(&rules.ExplicitPath, "kubeconfig", "", "Kubeconfig file for the hub; by default $KUBECONFIG or ~/.kube/config.")
	flags.StringVar(&overrides.CurrentContext, "context", "", "Context of the kubeconfig; by default the current one.")
	flags.StringVar(&options.Namespace, "namespace", "", "Namespace of the inventory. Required.")
	flags.StringVar(&options.ClusterManager, "cluster-manager", "", "Check the profiles of this manager alone; by default those of all.")
	flags.StringVar(&options.DecisionNamespace, "decision-namespace", "",
		"Namespace of the PlacementDecisions; by default that of the inventory.")
	flags.StringVar(&providers, "provider-file", "",
		"File with the credential plugins, as for KEP-5339's access library; without it none is run.")
	flags.BoolVar(&options.OtherNamespaces, "other-namespaces", false,
		"Reach profiles of other namespaces, too, that share an id with one of the inventory: their authors choose who gets credentials.")
	flags.DurationVar(&options.WatchFor, "watch-for", 30*time.Second,
		"How long to watch for changes, and to wait for credentials to expire.")
	flags.StringVar(&options.ChangeInventory, "change-inventory", "", "Shell command that changes a profile of the inventory.")
	flags.StringVar(&options.ChangeDecision, "change-decision", "", "Shell command that has a cluster move between slices of a decision.")
	flags.StringVar(&reports, "report-dir", ".", "Folder for report.yaml and report.html.")
	about := &options.Implementation
	flags.StringVar(&about.Organization, "organization", "", "Who is responsible for what is checked, for the report.")
	flags.StringVar(&about.Project, "project", "", "Name of what is checked, for the report.")
	flags.StringVar(&about.Version, "version", "", "Version of what is checked, for the report.")
	flags.StringVar(&about.URL, "url", "", "URL of what is checked, for the report.")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if flags.NArg() > 0 || options.Namespace == "" {
		return false, errors.New("--namespace is required, and there are no arguments")
	}
	var err error
	if providers != "" {
		if options.Providers, err = suite.LoadProviders(providers); err != nil {
			return false, err
		}
	}
	if options.Config, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &overrides).ClientConfig(); err != nil {
		return false, err
	}
	report, err := suite.Run(ctx, options)
	if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return report.Conformant(), errors.Join(write(report, reports), report.Print(out))
}

// write writes both forms of the report into a folder, which it makes.
func write(report *suite.Report, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, render := range map[string]func() ([]byte, error){"report.yaml": report.YAML, "report.html": report.HTML} {
		data, err := render()
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}
