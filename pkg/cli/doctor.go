// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	flags   *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams

	output        string
	accessConfig  string
	inventory     string
	serverUser    string
	managerUser   string
	mint          []string
	mintNamespace string

	uninstall      bool
	memberContexts []string
}

// newDoctorCommand returns the command that checks an installation. Where a check fails it returns
// an error, so that the exit code is not 0.
func newDoctorCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &doctorOptions{
		flags: flags, streams: streams,
		serverUser: doctor.DefaultServerUser, managerUser: doctor.DefaultManagerUser, mintNamespace: "default",
	}
	cmd := &cobra.Command{
		Use:   "doctor [[NAMESPACE/]CLUSTER...]",
		Short: "Check clusterpass on the hub and say how to fix what is wrong",
		Long: `Check clusterpass on the hub, with your own rights there, and say how to fix what is wrong.

doctor changes nothing, shows no token or key, and calls no member cluster unless --mint names one.
It skips what you may not read. The exit code is 1 if a check fails.`,
		Example: `  # Check the whole installation
  kubectl clusterpass doctor

  # Of the members check only bravelion; also request a token for it, and revoke that
  kubectl clusterpass doctor bravelion --mint bravelion

  # Show what is left to uninstall, on the members, too
  kubectl clusterpass doctor --uninstall --member-context bravelion,smartfish

  # List the failed checks, for a script
  kubectl clusterpass doctor -o json | jq '.[] | select(.verdict == "FAIL")'`,
		ValidArgsFunction: completeClusters(flags, 0),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			// Whoever interrupts --mint leaves no grant behind.
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return o.run(ctx, args)
		},
	}
	o.addFlags(cmd)
	return cmd
}

func (o *doctorOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&o.output, "output", "o", o.output, "Print the findings as a list: json or yaml.")
	fs.StringVar(&o.accessConfig, "access-config", o.accessConfig,
		"The --access-config file of clusterpass-apiserver. Default: kubeconfig Secrets in the namespace clusterpass-system.")
	fs.StringVar(&o.inventory, "inventory", o.inventory,
		"The --inventory that clusterpass-apiserver runs with, Served or External. Default: what the hub's APIServices say.")
	fs.StringVar(&o.serverUser, "server-user", o.serverUser, "User name that clusterpass-apiserver has on the hub.")
	fs.StringVar(&o.managerUser, "manager-user", o.managerUser, "User name that clusterpass-controller-manager has on the hub.")
	fs.StringSliceVar(&o.mint, "mint", o.mint,
		"Clusters, as [NAMESPACE/]CLUSTER, to request a real token for. The token has no roles, and its grant is deleted afterwards.")
	fs.StringVar(&o.mintNamespace, "mint-namespace", o.mintNamespace, "Namespace on the member in which --mint creates a ServiceAccount.")
	fs.BoolVar(&o.uninstall, "uninstall", o.uninstall,
		"List what is left of clusterpass, in the order to remove it, and the next command. The exit code is 0 when nothing is left.")
	fs.StringSliceVar(&o.memberContexts, "member-context", o.memberContexts,
		"With --uninstall: contexts of your kubeconfig for admins of members. doctor then checks these members, too.")
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("member-context", completeContexts(o.flags.ToRawKubeConfigLoader)))
	for flag, values := range map[string][]string{
		"output":    {"json", "yaml"},
		"inventory": {hub.InventoryServed, hub.InventoryExternal},
	} {
		utilruntime.Must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("mint", completeClusters(o.flags, 0)))
	utilruntime.Must(cmd.MarkFlagFilename("access-config", "yaml", "yml"))
}

func (o *doctorOptions) run(ctx context.Context, args []string) error {
	write, err := findingsPrinter(o.output)
	if err != nil {
		return err
	}
	if len(o.memberContexts) > 0 && !o.uninstall {
		return errors.New("--member-context requires --uninstall: without it, doctor calls no member")
	}
	if len(args) > 0 && o.uninstall {
		return errors.New("--uninstall checks the whole hub: name no cluster")
	}
	config, err := hubConfig(o.flags)
	if err != nil {
		return err
	}
	options, err := o.complete(args)
	if err != nil {
		return err
	}
	clients, err := doctor.NewClients(config)
	if err != nil {
		return err
	}
	if unreachable := doctor.Reach(ctx, clients, config.Host, nameTheHub); len(unreachable) > 0 {
		if err := write(o.streams.Out, unreachable); err != nil {
			return err
		}
		return fmt.Errorf("the hub %s does not answer", config.Host)
	}
	if o.uninstall {
		return o.lookForLeftovers(ctx, clients, config.Host, write)
	}
	findings := doctor.Run(ctx, clients, options)
	if err := write(o.streams.Out, findings); err != nil {
		return err
	}
	return failed(findings, clients, config.Host)
}

// failed returns an error if a check has failed, and says so if it may be because the cluster is no
// hub.
func failed(findings []doctor.Finding, clients *doctor.Clients, host string) error {
	switch {
	case doctor.Worst(findings) != doctor.Fail:
		return nil
	case !clients.IsHub():
		return fmt.Errorf("%s serves no API of clusterpass. Is it the hub? %s", host, nameTheHub)
	}
	return fmt.Errorf("a check has failed on %s", host)
}

// lookForLeftovers says what is left until clusterpass is uninstalled. While something is, it
// returns an error.
func (o *doctorOptions) lookForLeftovers(
	ctx context.Context, clients *doctor.Clients, host string, write func(io.Writer, []doctor.Finding) error,
) error {
	members := map[string]*doctor.Clients{}
	for _, name := range o.memberContexts {
		raw, err := o.flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return err
		}
		config, err := clientcmd.NewNonInteractiveClientConfig(raw, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
		if err != nil {
			return fmt.Errorf("--member-context %s: %w", name, err)
		}
		if members[name], err = doctor.NewClients(config); err != nil {
			return fmt.Errorf("--member-context %s: %w", name, err)
		}
	}
	findings := doctor.Uninstall(ctx, clients, members)
	if err := write(o.streams.Out, findings); err != nil {
		return err
	}
	if doctor.Worst(findings) == doctor.Fail {
		return fmt.Errorf("clusterpass is not uninstalled from %s yet", host)
	}
	return nil
}

// complete returns what the flags and arguments ask for.
func (o *doctorOptions) complete(args []string) (doctor.Options, error) {
	options := doctor.Options{
		ServerUser: o.serverUser, ManagerUser: o.managerUser,
		Access: member.DefaultConfig(), Inventory: o.inventory, MintNamespace: o.mintNamespace,
	}
	switch options.Inventory {
	case "", hub.InventoryServed, hub.InventoryExternal:
	default:
		return doctor.Options{}, fmt.Errorf("--inventory %q: must be %s or %s", o.inventory, hub.InventoryServed, hub.InventoryExternal)
	}
	var err error
	if o.accessConfig != "" {
		if options.Access, err = member.LoadFile(o.accessConfig); err != nil {
			return doctor.Options{}, fmt.Errorf("--access-config: %w", err)
		}
	}
	if options.Namespace, _, err = o.flags.ToRawKubeConfigLoader().Namespace(); err != nil {
		return doctor.Options{}, err
	}
	if options.Clusters, err = profileNames(args, options.Namespace); err != nil {
		return doctor.Options{}, err
	}
	if options.Mint, err = profileNames(o.mint, options.Namespace); err != nil {
		return doctor.Options{}, fmt.Errorf("--mint: %w", err)
	}
	return options, nil
}

// profileNames parses [NAMESPACE/]CLUSTER; namespace is that of those without one.
func profileNames(words []string, namespace string) ([]types.NamespacedName, error) {
	names := make([]types.NamespacedName, 0, len(words))
	for _, word := range words {
		name := types.NamespacedName{Namespace: namespace, Name: word}
		if before, after, ok := strings.Cut(word, "/"); ok {
			name = types.NamespacedName{Namespace: before, Name: after}
		}
		if name.Namespace == "" || name.Name == "" || strings.Contains(name.Name, "/") {
			return nil, fmt.Errorf("%q is not [NAMESPACE/]CLUSTER", word)
		}
		names = append(names, name)
	}
	return names, nil
}

// findingsPrinter returns what prints findings in a format, the empty one for people.
func findingsPrinter(format string) (func(io.Writer, []doctor.Finding) error, error) {
	switch format {
	case "":
		return doctor.Print, nil
	case "json":
		return func(w io.Writer, findings []doctor.Finding) error {
			encoder := json.NewEncoder(w)
			encoder.SetEscapeHTML(false)
			encoder.SetIndent("", "    ")
			return encoder.Encode(findings)
		}, nil
	case "yaml":
		return func(w io.Writer, findings []doctor.Finding) error {
			data, err := yaml.Marshal(findings)
			if err != nil {
				return err
			}
			_, err = w.Write(data)
			return err
		}, nil
	}
	return nil, fmt.Errorf("--output %q: must be json or yaml", format)
}
