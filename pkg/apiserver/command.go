// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	"k8s.io/component-base/term"
	"k8s.io/component-base/version"
)

// NewCommand returns the command line of the server.
func NewCommand() *cobra.Command {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   "clusterpass-apiserver",
		Short: "Serve a fleet's cluster inventory and mint short-lived tokens for its members",
		Long: `The clusterpass API server is an aggregated API server for a fleet's hub. It stores
ClusterProfiles and PlacementDecisions in etcd, and answers an AuthTokenRequest with
a short-lived token of a member cluster.`,
		Args:         cobra.NoArgs,
		Version:      version.Get().GitVersion,
		SilenceUsage: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return compatibility.DefaultComponentGlobalsRegistry.Set()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := logsapi.ValidateAndApply(options.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			cliflag.PrintFlags(cmd.Flags())
			completed := options.Complete()
			if err := completed.Validate(); err != nil {
				return err
			}
			return completed.Run(cmd.Context())
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
	cmd.AddCommand(newSnapshotCommand())
	return cmd
}
