// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllermanager runs the controllers of clusterpass together, under one leader
// election. Options become a running manager.
package controllermanager

import (
	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/component-base/term"
	"k8s.io/component-base/version"
)

// NewCommand returns the command line of the controller manager.
func NewCommand() *cobra.Command {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   name,
		Short: "Revoke, repair and clean up what clusterpass has granted on member clusters",
		Long: `The clusterpass controller manager works beside the clusterpass API server. It revokes the
AuthTokenGrants that are deleted, repairs on member clusters what grants own there, and
removes what is left over. Of several replicas one works, the others wait.`,
		Args:         cobra.NoArgs,
		Version:      version.Get().GitVersion,
		SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(options.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			cliflag.PrintFlags(cmd.Flags())
			if err := options.Validate(); err != nil {
				return err
			}
			return options.Run(cmd.Context())
		},
	}
	cmd.SetContext(genericapiserver.SetupSignalContext())

	sections := options.Flags()
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name())
	for _, section := range sections.FlagSets {
		cmd.Flags().AddFlagSet(section)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns)
	return cmd
}
