// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Command clusterpass-credential-plugin is a credential plugin (KEP-5339) for the access providers
// of ClusterProfiles. Programs that build clients from ClusterProfiles run it to get tokens for
// member clusters from the hub, with their own identity on the hub. See pkg/credential for the
// fields that a ClusterProfile needs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/version"

	"clusterpass.dev/pkg/credential"
	"clusterpass.dev/pkg/words"
)

const name = "clusterpass-credential-plugin"

const usage = `Run by programs that build clients from ClusterProfiles: it prints a token for the member cluster as
an ExecCredential. The access provider of the ClusterProfile, of any name, says which token; flags
override that. Without a ServiceAccount in either, one is named for the user of the hub.

Usage:
  ` + name + ` [flags]

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	errOut := words.NewWriter(os.Stderr) // errors contain text from members and servers
	err := run(ctx, os.Args[1:], os.Stdout, errOut)
	stop()
	if err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(errOut, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// run writes the credential that client-go requests through the environment.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var (
		kubeconfig, hubContext string
		showVersion            bool
		options                credential.Options
		request                credential.RequestFlags
		target                 credential.Target
	)
	flags := pflag.NewFlagSet(name, pflag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage, flags.FlagUsages()) }
	flags.StringVar(&kubeconfig, "kubeconfig", "",
		"Kubeconfig file for the hub; by default $KUBECONFIG, ~/.kube/config, or the ServiceAccount of the pod.")
	flags.StringVar(&hubContext, "context", "", "Context of the kubeconfig that is the hub; by default the current one.")
	flags.BoolVar(&showVersion, "version", false, "Print the version.")
	options.AddFlags(flags)
	request.AddFlags(flags)
	target.AddFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	if showVersion {
		_, err := fmt.Fprintln(stdout, version.Get().GitVersion)
		return err
	}
	exec, err := credential.ParseExec(os.Getenv(credential.ExecInfoEnv))
	if err != nil {
		return err
	}
	config, err := credential.HubConfig(kubeconfig, hubContext).ClientConfig()
	if err != nil {
		return fmt.Errorf("configuration of the client for the hub: %w", err)
	}
	config.WarningHandler = rest.NewWarningWriter(stderr, rest.WarningWriterOptions{Deduplicate: true})
	options.Caller = credential.Caller()
	source, err := credential.NewSource(config, options)
	if err != nil {
		return err
	}
	plugin := &credential.Plugin{Source: source, Override: request.Apply, Target: target}
	status, err := plugin.GetToken(ctx, exec.Credential)
	if err != nil {
		return err
	}
	return exec.Answer(stdout, &status)
}
