// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command has what the command lines of our two servers have in common: logs, sections of
// flags, and an end by signals. It knows nothing of what they serve.
package command

import (
	"context"

	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/component-base/term"
	"k8s.io/component-base/version"
)

// Complete makes cmd the command line of a server with flags, which must include those of logging.
// It calls run with a context that a signal ends, and may be called once in a process.
func Complete(
	cmd *cobra.Command, flags func() cliflag.NamedFlagSets, logging *logs.Options, run func(ctx context.Context) error,
) {
	// Before there are flags: the one for feature gates lets nobody add any.
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
	sections := flags()
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name())
	for _, section := range sections.FlagSets {
		cmd.Flags().AddFlagSet(section)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns)

	cmd.Args = cobra.NoArgs
	cmd.Version = version.Get().GitVersion
	cmd.SilenceUsage = true
	cmd.SetContext(genericapiserver.SetupSignalContext())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := logsapi.ValidateAndApply(logging, utilfeature.DefaultFeatureGate); err != nil {
			return err
		}
		cliflag.PrintFlags(cmd.Flags())
		return run(cmd.Context())
	}
}
