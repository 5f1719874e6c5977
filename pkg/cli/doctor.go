// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/member"
)

const (
	outputJSON = "json"
	outputYAML = "yaml"
)

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	plugin
	doctor.Options

	output       string
	accessConfig string
	mint         []string

	uninstall      bool
	memberContexts []string
}

// newDoctorCommand returns the command that checks an installation. Where a check fails it returns
// an error, so that the exit code is not 0.
func newDoctorCommand(p plugin) *cobra.Command {
	o := &doctorOptions{plugin: p, Options: doctor.Options{
		ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser,
		Access: member.DefaultConfig(), MintNamespace: "default",
	}}
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
		ValidArgsFunction: p.completeClusters(0),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.addFlags(cmd)
	return cmd
}

func (o *doctorOptions) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&o.output, "output", "o", o.output, "Print the findings as a list: json or yaml.")
	fs.StringVar(&o.accessConfig, "access-config", o.accessConfig,
		"The --access-config file of clusterpass-apiserver. Default: kubeconfig Secrets in the namespace clusterpass-system.")
	fs.StringVar(&o.Inventory, "inventory", o.Inventory,
		"The --inventory that clusterpass-apiserver runs with, Served or External. Default: what the hub's APIServices say.")
	fs.StringVar(&o.ServerUser, "server-user", o.ServerUser, "User name that clusterpass-apiserver has on the hub.")
	fs.StringVar(&o.ManagerUser, "manager-user", o.ManagerUser, "User name that clusterpass-controller-manager has on the hub.")
	fs.StringSliceVar(&o.mint, "mint", o.mint,
		"Clusters, as [NAMESPACE/]CLUSTER, to request a real token for. The token has no roles, and its grant is deleted afterwards.")
	fs.StringVar(&o.MintNamespace, "mint-namespace", o.MintNamespace, "Namespace on the member in which --mint creates a ServiceAccount.")
	fs.BoolVar(&o.uninstall, "uninstall", o.uninstall,
		"List what is left of clusterpass, in the order to remove it, and the next command. The exit code is 0 when nothing is left.")
	fs.StringSliceVar(&o.memberContexts, "member-context", o.memberContexts,
		"With --uninstall: contexts of your kubeconfig for admins of members. doctor then checks these members, too.")
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("member-context", completeContexts(o.flags.ToRawKubeConfigLoader)))
	for flag, values := range map[string][]string{
		"output":    {outputJSON, outputYAML},
		"inventory": {hub.InventoryServed, hub.InventoryExternal},
	} {
		utilruntime.Must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
	}
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("mint", o.completeClusters(0)))
	utilruntime.Must(cmd.MarkFlagFilename("access-config", "yaml", "yml"))
}

func (o *doctorOptions) run(ctx context.Context, args []string) error {
	if !slices.Contains([]string{"", outputJSON, outputYAML}, o.output) {
		return fmt.Errorf("--output %q: must be json or yaml", o.output)
	}
	if len(o.memberContexts) > 0 && !o.uninstall {
		return errors.New("--member-context requires --uninstall: without it, doctor calls no member")
	}
	if len(args) > 0 && o.uninstall {
		return errors.New("--uninstall checks the whole hub: name no cluster")
	}
	config, namespace, err := o.hub()
	if err != nil {
		return err
	}
	if err := o.complete(args, namespace); err != nil {
		return err
	}
	clients, err := doctor.NewClients(config)
	if err != nil {
		return err
	}
	if unreachable := doctor.Reach(ctx, clients, config.Host, nameTheHub); len(unreachable) > 0 {
		if err := o.print(unreachable); err != nil {
			return err
		}
		return fmt.Errorf("the hub %s does not answer", config.Host)
	}
	findings, err := o.examine(ctx, clients)
	if err != nil {
		return err
	}
	if err := o.print(findings); err != nil {
		return err
	}
	return o.failed(findings, clients, config.Host)
}

// failed returns an error if a check has failed, and says so if it may be because the cluster is no
// hub, or if something is left of clusterpass.
func (o *doctorOptions) failed(findings []doctor.Finding, clients *doctor.Clients, host string) error {
	switch {
	case doctor.Worst(findings) != doctor.Fail:
		return nil
	case o.uninstall:
		return fmt.Errorf("clusterpass is not uninstalled from %s yet", host)
	case !clients.IsHub():
		return fmt.Errorf("%s serves no API of clusterpass. Is it the hub? %s", host, nameTheHub)
	}
	return fmt.Errorf("a check has failed on %s", host)
}

// examine returns what is found on the hub, or what is left there and on members until clusterpass
// is uninstalled.
func (o *doctorOptions) examine(ctx context.Context, clients *doctor.Clients) ([]doctor.Finding, error) {
	if !o.uninstall {
		return doctor.Run(ctx, clients, o.Options), nil
	}
	members := map[string]*doctor.Clients{}
	for _, name := range o.memberContexts {
		raw, err := o.flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, err
		}
		config, err := clientcmd.NewNonInteractiveClientConfig(raw, name, &clientcmd.ConfigOverrides{}, nil).ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("--member-context %s: %w", name, err)
		}
		if members[name], err = doctor.NewClients(config); err != nil {
			return nil, fmt.Errorf("--member-context %s: %w", name, err)
		}
	}
	return doctor.Uninstall(ctx, clients, members), nil
}

// complete sets what the flags and arguments ask for; namespace is that of names without one.
func (o *doctorOptions) complete(args []string, namespace string) (err error) {
	switch o.Inventory {
	case "", hub.InventoryServed, hub.InventoryExternal:
	default:
		return fmt.Errorf("--inventory %q: must be %s or %s", o.Inventory, hub.InventoryServed, hub.InventoryExternal)
	}
	if o.accessConfig != "" {
		if o.Access, err = member.LoadFile(o.accessConfig); err != nil {
			return fmt.Errorf("--access-config: %w", err)
		}
	}
	o.Namespace = namespace
	if o.Clusters, err = profileNames(args, namespace); err != nil {
		return err
	}
	if o.Mint, err = profileNames(o.mint, namespace); err != nil {
		return fmt.Errorf("--mint: %w", err)
	}
	return nil
}

// profileNames parses [NAMESPACE/]CLUSTER; namespace is that of those without one.
func profileNames(words []string, namespace string) ([]types.NamespacedName, error) {
	names := make([]types.NamespacedName, 0, len(words))
	for _, word := range words {
		before, after, ok := strings.Cut(word, "/")
		if !ok {
			before, after = namespace, word
		}
		if before == "" || after == "" || strings.Contains(after, "/") {
			return nil, fmt.Errorf("%q is not [NAMESPACE/]CLUSTER", word)
		}
		names = append(names, types.NamespacedName{Namespace: before, Name: after})
	}
	return names, nil
}

// print prints findings in the format of the flag, without one for people.
func (o *doctorOptions) print(findings []doctor.Finding) error {
	switch o.output {
	case outputJSON:
		encoder := json.NewEncoder(o.streams.Out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "    ")
		return encoder.Encode(findings)
	case outputYAML:
		data, err := yaml.Marshal(findings)
		if err != nil {
			return err
		}
		_, err = o.streams.Out.Write(data)
		return err
	}
	return doctor.Print(o.streams.Out, findings)
}
