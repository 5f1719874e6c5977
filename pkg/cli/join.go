// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/clientcmd"

	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/join"
)

const (
	flagMemberContext    = "member-context"
	flagMemberKubeconfig = "member-kubeconfig"
	flagConsumers        = "consumer-service-account"
	flagCredentialOnly   = "credential-only" //nolint:gosec // a flag, not a credential
)

var (
	// allowFlags say what a member allows.
	allowFlags = []string{"allow-cluster-roles", "allow-all-cluster-roles", "allow-namespaces", "allow-rules", "allow-usage"}
	// profileFlags say what join writes to the ClusterProfile.
	profileFlags = []string{"cluster-manager", "labels", "member-id", "taint", flagConsumers, "consumer-cluster-roles"}
)

// targetFlags are what join and unjoin have in common.
type targetFlags struct {
	plugin
	member         memberFlags
	clusterManager string
	dryRun         string
	timeout        time.Duration
}

func (f *targetFlags) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.member.context, flagMemberContext, "",
		"Context of the kubeconfig for an admin of the member. Default: the current one of --member-kubeconfig.")
	flags.StringVar(&f.member.kubeconfig, flagMemberKubeconfig, "",
		"Kubeconfig file of the member. Default: the hub's kubeconfig; --member-context is required then.")
	utilruntime.Must(cmd.RegisterFlagCompletionFunc(flagMemberContext, completeContexts(func() clientcmd.ClientConfig {
		return f.member.clientConfig(f.flags)
	})))
	flags.StringVar(&f.clusterManager, "cluster-manager", join.DefaultClusterManager, "The ClusterProfile's spec.clusterManager.name.")
	flags.StringVar(&f.dryRun, "dry-run", string(join.DryRunNone),
		`"none"; "client" only reads and says what would be done; "server" also sends changes of existing objects as dry runs.`)
	flags.Lookup("dry-run").NoOptDefVal = string(join.DryRunClient)
	flags.DurationVar(&f.timeout, "timeout", time.Minute, "How long each wait may take.")
}

// load returns the ClusterProfile called name in the namespace of the flags, and its member, nil if
// no flag names that.
func (f *targetFlags) load(name string) (join.Target, *join.Member, error) {
	dryRun, err := join.ParseDryRun(f.dryRun)
	if err != nil {
		return join.Target{}, nil, err
	}
	hub, namespace, err := f.hub()
	if err != nil {
		return join.Target{}, nil, err
	}
	member, err := f.member.load(f.flags)
	return join.Target{
		Hub: hub, Namespace: namespace, Name: name, ClusterManager: f.clusterManager,
		DryRun: dryRun, Timeout: f.timeout, Out: f.streams.Out,
	}, member, err
}

// joinOptions are those of join.
type joinOptions struct {
	targetFlags
	labels   map[string]string
	memberID string
	// taints are KEY[=VALUE]:EFFECT.
	taints  []string
	allowed join.Allowed
	// adopt excludes what would be written to the ClusterProfile.
	adopt bool
	// credentialOnly excludes what says what is allowed.
	credentialOnly bool
	revokeGrants   bool
	// consumers is NAMESPACE/NAME of a ServiceAccount, empty for no access provider.
	consumers     string
	consumerRoles []string
	wait          bool
}

func newJoinCommand(p plugin) *cobra.Command {
	o := &joinOptions{targetFlags: targetFlags{plugin: p}}
	cmd := &cobra.Command{
		Use:   "join NAME (--member-context CONTEXT | --member-kubeconfig FILE)",
		Short: "Make a cluster a member of the hub",
		Long: `Make a cluster a member of the hub: ClusterProfile NAME in the namespace of --namespace.

On the member, this creates the ServiceAccount clusterpass in namespace clusterpass-system. The hub may then bind the ClusterRoles of
--allow-cluster-roles, and create ServiceAccounts and bind Roles in the namespaces of --allow-namespaces. The member enforces that: the
hub cannot give anybody more. Unless you set --allow-usage=false, the hub may also list nodes and pods, to count what is free. On the
hub, join creates a Secret with a kubeconfig for that account, and the ClusterProfile.

Run it again to allow other roles or namespaces: it changes only what differs.

With --adopt, the ClusterProfile is one that another cluster manager has made, such as Open Cluster Management: join writes nothing to it.
If the member has a Secret for another ClusterProfile already, that Secret is for this one, too, and the member allows what it allowed
unless flags say more.`,
		Example: `  # Let the hub bind view and edit, and create ServiceAccounts in namespaces default and team-a of the cluster
  kubectl clusterpass join bravelion --member-context bravelion-admin --allow-cluster-roles view,edit --allow-namespaces default,team-a

  # The hub reaches the cluster at another address than you do
  kubectl clusterpass join bravelion --member-context bravelion-admin --member-server https://bravelion.internal:6443

  # Use the ClusterProfile that another cluster manager has made in namespace fleet
  kubectl clusterpass join bravelion --namespace fleet --adopt --member-context bravelion-admin --allow-cluster-roles view,edit

  # No placement chooses the cluster until you have tried it out and removed the taint
  kubectl clusterpass join bravelion --member-context bravelion-admin --taint example.com/new=true:NoSelect
  kubectl annotate clusterprofile bravelion clusterpass.dev/taints-

  # Say what would be done
  kubectl clusterpass join bravelion --member-context bravelion-admin --dry-run=client`,
		Args: names(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.allowed.AllClusterRoles && !cmd.Flags().Changed("allow-cluster-roles") {
				o.allowed.ClusterRoles = nil
			}
			if err := o.checkAdopt(cmd.Flags().Changed); err != nil {
				return err
			}
			keep := o.adopt && !slices.ContainsFunc(allowFlags, cmd.Flags().Changed)
			return o.run(cmd.Context(), args[0], keep)
		},
	}
	o.addFlags(cmd)
	cmd.MarkFlagsOneRequired(flagMemberContext, flagMemberKubeconfig)
	for _, flag := range slices.Concat(allowFlags, []string{"labels", "member-id", "taint", "member-server", flagConsumers, "revoke-grants"}) {
		cmd.MarkFlagsMutuallyExclusive(flagCredentialOnly, flag)
	}
	return cmd
}

func (o *joinOptions) addFlags(cmd *cobra.Command) {
	o.targetFlags.addFlags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.member.server, "member-server", "", "URL at which the hub reaches the member. Default: that of --member-context.")
	flags.StringToStringVar(&o.labels, "labels", nil,
		"Labels of the ClusterProfile. Those of an earlier join that are not given again are removed.")
	flags.StringVar(&o.memberID, "member-id", "",
		"Value of the label multicluster.x-k8s.io/inventory-member-id of the ClusterProfile, which is the same on all ClusterProfiles "+
			"of one cluster. Default: the value that the label has, or the UID of the member's namespace kube-system.")
	flags.StringSliceVar(&o.taints, "taint", nil, "Taints of the ClusterProfile, as KEY[=VALUE]:EFFECT: "+
		"NoSelect keeps placements from choosing the cluster until you remove the taint. Existing taints stay.")
	flags.StringSliceVar(&o.allowed.ClusterRoles, "allow-cluster-roles", []string{"view"}, "ClusterRoles of the member that the hub may bind.")
	flags.BoolVar(&o.allowed.AllClusterRoles, "allow-all-cluster-roles", false, "Let the hub bind every ClusterRole, cluster-admin included.")
	flags.StringSliceVar(&o.allowed.Namespaces, "allow-namespaces", []string{"default"}, "Namespaces of the member for ServiceAccounts and "+
		"Roles; created if missing. The hub can use every ServiceAccount and read every Secret in them.")
	flags.BoolVar(&o.allowed.Rules, "allow-rules", false,
		"Let the hub create roles from the rules of a request, by the verb escalate. The member then trusts the hub to limit what users get.")
	flags.BoolVar(&o.allowed.Usage, "allow-usage", true,
		"Let the hub list nodes and pods, to count what is free for its ClusterScore. Pods show the environment variables of their containers.")
	flags.StringVar(&o.consumers, flagConsumers, "",
		"Also write the access provider clusterpass, for programs with clusterpass-credential-plugin: "+
			"they get tokens for this ServiceAccount of the member, given as NAMESPACE/NAME, if their own rights on the hub allow it.")
	flags.StringSliceVar(&o.consumerRoles, "consumer-cluster-roles", []string{"view"},
		"ClusterRoles of the ServiceAccount of --"+flagConsumers+".")
	flags.BoolVar(&o.adopt, "adopt", false, "Use a ClusterProfile that another cluster manager has made, and write nothing to it.")
	flags.BoolVar(&o.credentialOnly, flagCredentialOnly, false, "Only repair the hub's access to a joined member: "+
		"renew its token if needed, and restore its account and rights on the member if they were lost.")
	flags.BoolVar(&o.revokeGrants, "revoke-grants", false,
		"Revoke the grants that need what an earlier join allowed and this one does not. Without this flag, join names them and changes nothing.")
	flags.BoolVar(&o.wait, "wait", true, "Wait until the ClusterProfile's condition ControlPlaneHealthy is True. "+
		"With --adopt: until the hub finds the Secret. Health is for the cluster manager to say.")
}

// checkAdopt refuses flags that would be written to a ClusterProfile that is to be adopted.
func (o *joinOptions) checkAdopt(changed func(flag string) bool) error {
	if i := slices.IndexFunc(profileFlags, changed); o.adopt && i >= 0 {
		return fmt.Errorf("--%s says what join writes to the ClusterProfile: with --adopt it writes nothing there", profileFlags[i])
	}
	return nil
}

// run joins a member. keepAllowed leaves what it allows to other ClusterProfiles as it is.
func (o *joinOptions) run(ctx context.Context, name string, keepAllowed bool) error {
	target, member, err := o.load(name)
	if err != nil {
		return err
	}
	if member == nil {
		return errors.New("--member-context and --member-kubeconfig must not both be empty")
	}
	consumers, err := o.forConsumers()
	if err != nil {
		return err
	}
	options := &join.Options{Target: target, Member: *member, Allowed: o.allowed, Consumers: consumers, Labels: o.labels,
		MemberID: o.memberID, Adopt: o.adopt, KeepAllowed: keepAllowed, CredentialOnly: o.credentialOnly, RevokeGrants: o.revokeGrants,
		Wait: o.wait}
	for _, written := range o.taints {
		taint, err := join.ParseTaint(written)
		if err != nil {
			return fmt.Errorf("--taint: %w", err)
		}
		options.Taints = append(options.Taints, taint)
	}
	return join.Run(ctx, options)
}

// forConsumers returns what consumers of the access provider clusterpass ask for, nil if there is
// to be none.
func (o *joinOptions) forConsumers() (*multiclusterv1alpha1.AuthTokenRequestSpec, error) {
	if o.consumers == "" {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	namespace, name, found := strings.Cut(o.consumers, "/")
	if !found || namespace == "" || name == "" {
		return nil, fmt.Errorf("--%s %q is not NAMESPACE/NAME, such as default/work", flagConsumers, o.consumers)
	}
	spec := &multiclusterv1alpha1.AuthTokenRequestSpec{ServiceAccountNamespace: namespace, ServiceAccountName: name}
	for _, role := range o.consumerRoles {
		spec.ClusterRoles = append(spec.ClusterRoles, multiclusterv1alpha1.ClusterRole{Name: role})
	}
	return spec, nil
}

// unjoinOptions are those of unjoin.
type unjoinOptions struct {
	targetFlags
	abandon bool
}

func newUnjoinCommand(p plugin) *cobra.Command {
	o := &unjoinOptions{targetFlags: targetFlags{plugin: p}}
	cmd := &cobra.Command{
		Use:   "unjoin NAME [--member-context CONTEXT | --member-kubeconfig FILE]",
		Short: "Remove a member from the hub",
		Long: `Remove a member from the hub: undo join.

First it marks the member as leaving: requests for tokens are refused, and ClusterCredentialSets drop the member. Then it deletes the
AuthTokenGrants of the member, and waits until their tokens have ended. Then it removes the ClusterProfile and the Secret on the hub. With
--member-context or --member-kubeconfig it also removes what join made on the member, and what the hub could not revoke there. The
namespaces of --allow-namespaces stay, and everything that others have in them. If interrupted, run the same command to resume. To keep
the member instead, join it again: that removes the mark.

A ClusterProfile that another cluster manager has made is never deleted. If the Secret is for other ClusterProfiles, too, only this one
is taken out of it, and Secret and member stay.`,
		Example: `  # Remove bravelion, and clean it up
  kubectl clusterpass unjoin bravelion --member-context bravelion-admin

  # Remove a cluster that is gone for ever
  kubectl clusterpass unjoin bravelion --abandon-member`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: p.completeClusters(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.abandon, "abandon-member", false, "The member is gone for ever: remove its grants without revoking them there.")
	return cmd
}

func (o *unjoinOptions) run(ctx context.Context, name string) error {
	target, member, err := o.load(name)
	if err != nil {
		return err
	}
	return join.Undo(ctx, &join.UnjoinOptions{Target: target, Member: member, AbandonMember: o.abandon})
}
