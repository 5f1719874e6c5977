// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apiserver/pkg/util/compatibility"

	"clusterpass.dev/pkg/command"
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
	return server.PrepareRun().RunWithContext(ctx)
}

// NewCommand returns the command line of the server.
func NewCommand() *cobra.Command {
	options := NewOptions()
	cmd := &cobra.Command{
		Use:   "clusterpass-apiserver",
		Short: "Serve a fleet's cluster inventory and mint short-lived tokens for its members",
		Long: `The clusterpass API server is an aggregated API server for a fleet's hub. It stores
ClusterProfiles and PlacementDecisions in etcd, and answers an AuthTokenRequest with
a short-lived token of a member cluster.`,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return compatibility.DefaultComponentGlobalsRegistry.Set()
		},
	}
	command.Complete(cmd, options.Flags, options.Logs, func(ctx context.Context) error {
		completed := options.Complete()
		if err := completed.Validate(); err != nil {
			return err
		}
		return completed.Run(ctx)
	})
	cmd.AddCommand(newSnapshotCommand())
	return cmd
}
