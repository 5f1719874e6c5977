// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"clusterpass.dev/pkg/join"
)

// unjoinOptions are those of unjoin.
type unjoinOptions struct {
	targetFlags
	flags   *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
	abandon bool
}

func newUnjoinCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &unjoinOptions{flags: flags, streams: streams}
	cmd := &cobra.Command{
		Use:   "unjoin NAME [--member-context CONTEXT | --member-kubeconfig FILE]",
		Short: "Remove a member from the hub",
		Long: `Remove a member from the hub: undo join.

First it marks the member as leaving: requests for tokens are refused, and ClusterCredentialSets drop the member. Then it deletes the
AuthTokenGrants of the member, and waits until their tokens have ended. Then it removes the ClusterProfile and the Secret on the hub. With
--member-context or --member-kubeconfig it also removes what join made on the member, and what the hub could not revoke there. The
namespaces of --allow-namespaces stay, and everything that others have in them. If interrupted, run the same command to resume. To keep
the member instead, join it again: that removes the mark.`,
		Example: `  # Remove bravelion, and clean it up
  kubectl clusterpass unjoin bravelion --member-context bravelion-admin

  # Remove a cluster that is gone for ever
  kubectl clusterpass unjoin bravelion --abandon-member`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: completeClusters(flags, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.addFlags(cmd.Flags())
	o.member.registerCompletion(cmd, flags)
	cmd.Flags().BoolVar(&o.abandon, "abandon-member", false, "The member is gone for ever: remove its grants without revoking them there.")
	return cmd
}

func (o *unjoinOptions) run(ctx context.Context, name string) error {
	target, err := o.target(o.flags, o.streams, name)
	if err != nil {
		return err
	}
	member, err := o.member.load(o.flags)
	if err != nil {
		return err
	}
	return join.Undo(ctx, &join.UnjoinOptions{Target: target, Member: member, AbandonMember: o.abandon})
}
