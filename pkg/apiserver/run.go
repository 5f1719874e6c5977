// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"

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

	"clusterpass.dev/pkg/embeddedetcd"
)

// Run runs the server, and the embedded etcd if there is one, until ctx ends. Then it shuts down in
// order: it accepts no new requests, lets those in flight end, and stops etcd last.
func (o completedOptions) Run(ctx context.Context) error {
	if o.EmbeddedEtcdDir == "" {
		return o.serve(ctx)
	}
	etcd, err := embeddedetcd.Start(ctx, o.EmbeddedEtcdDir)
	if err != nil {
		return err
	}
	defer etcd.Close()
	o.Recommended.Etcd.StorageConfig.Transport.ServerList = []string{etcd.Endpoint()}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-etcd.Err():
			cancel(fmt.Errorf("embedded etcd stopped: %w", err))
		case <-ctx.Done():
		}
	}()
	if err := o.serve(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

func (o completedOptions) serve(ctx context.Context) error {
	config, err := o.Config(ctx)
	if err != nil {
		return err
	}
	server, err := config.Complete().New() //nolint:contextcheck // its hooks get the context of the run
	if err != nil {
		return err
	}
	return server.Generic.PrepareRun().RunWithContext(ctx)
}

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
