// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line of `kubectl clusterpass`: flags become options, and answers
// become lines. What the commands do is in packages of their own.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/component-base/version"
	"k8s.io/utils/ptr"
)

// plugin is what all commands share: kubectl's flags, which lead to the hub, and the streams.
type plugin struct {
	flags   *genericclioptions.ConfigFlags
	streams genericiooptions.IOStreams
}

// NewCommand returns `kubectl clusterpass`. The kubeconfig's current context is the hub.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	p := plugin{flags: genericclioptions.NewConfigFlags(true), streams: streams}
	cmd := &cobra.Command{
		Use:   "kubectl-clusterpass",
		Short: "Join clusters to a hub, and get and revoke tokens for them",
		Long: `Join clusters to a hub, and get and revoke tokens for them.

The hub is the cluster of the kubeconfig's current context, or of --context.`,
		SilenceUsage: true,
		Version:      version.Get().GitVersion,
		Annotations:  map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl clusterpass"},
	}
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	p.flags.AddFlags(cmd.PersistentFlags())
	cmd.AddCommand(
		newJoinCommand(p),
		newUnjoinCommand(p),
		newKubeconfigCommand(p),
		newTokenCommand(p),
		newGetTokenCommand(p),
		newDoctorCommand(p),
		newMigrateCommand(p),
		newGrantsCommand(p),
		newRevokeCommand(p),
		newRenewAuthorCommand(p),
		newExplainCommand(p),
		newVersionCommand(p),
	)
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("context", completeContexts(p.flags.ToRawKubeConfigLoader)))
	p.addHints(cmd)
	return cmd
}

// addHints has the commands below cmd say what an error means that is not about what they were
// asked for.
func (p plugin) addHints(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		if run := sub.RunE; run != nil {
			sub.RunE = func(cmd *cobra.Command, args []string) error { return p.withHint(run(cmd, args)) }
		}
		p.addHints(sub)
	}
}

// withHint adds to the error of a cluster that does not answer, or that serves nothing of
// clusterpass.
func (p plugin) withHint(err error) error {
	if p.isUnreachable(err) {
		return fmt.Errorf("the hub does not answer: %w\nIs this the hub? %s", err, nameTheHub)
	}
	// The cluster has no such resource, rather than no such object.
	if apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return fmt.Errorf("%w. Is this cluster a hub of clusterpass? --context names another", err)
	}
	return err
}

// names has a command take names, as many as count allows, and say where the namespace goes that
// somebody has put before one.
func names(count cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		for _, arg := range args {
			if namespace, name, found := strings.Cut(arg, "/"); found {
				return fmt.Errorf("%q is not a name: give the namespace by its flag, %s %s --namespace=%s", arg, cmd.CommandPath(), name, namespace)
			}
		}
		return count(cmd, args)
	}
}

func newVersionCommand(p plugin) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.streams.Out, version.Get().GitVersion)
			return err
		},
	}
}

// nameTheHub says how a user names the hub.
const nameTheHub = "Name the hub's kubeconfig with --kubeconfig or $KUBECONFIG. " +
	"If the hub is not its current context, name the context with --context"

// hub returns the client configuration for the hub, and the namespace that the flags name or the
// context has.
func (p plugin) hub() (*rest.Config, string, error) {
	return p.hubOf(p.flags.ToRawKubeConfigLoader())
}

// hubOf is hub, by another kubeconfig than that of the flags.
func (p plugin) hubOf(loader clientcmd.ClientConfig) (*rest.Config, string, error) {
	config, err := loader.ClientConfig()
	if err := p.checkHub(config, err, loader); err != nil {
		return nil, "", err
	}
	if namespace := ptr.Deref(p.flags.Namespace, ""); namespace != "" {
		return config, namespace, nil
	}
	namespace, _, err := loader.Namespace()
	return config, namespace, err
}

// checkHub returns an error where config, which loader has made of a kubeconfig and flags, is for
// no hub: client-go takes localhost:8080 for one that nothing names. err is the error of loader.
func (p plugin) checkHub(config *rest.Config, err error, loader clientcmd.ClientConfig) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no kubeconfig: %w. %s", err, nameTheHub)
	case err != nil && !clientcmd.IsEmptyConfig(err):
		return err
	case err == nil && isGetToken(config.ExecProvider):
		return errNotHub
	case err == nil && (config.Host != clientcmd.ClusterDefaults.Server || os.Getenv("KUBERNETES_MASTER") != ""):
		return nil
	}
	raw, _ := loader.RawConfig() // what can't be read has been told
	isNamed := func(cluster *clientcmdapi.Cluster) bool { return cluster.Server == config.Host }
	clusters := slices.Collect(maps.Values(raw.Clusters))
	if err == nil && (ptr.Deref(p.flags.APIServer, "") == config.Host || slices.ContainsFunc(clusters, isNamed)) {
		return nil
	}
	files := strings.Join(loader.ConfigAccess().GetLoadingPrecedence(), ", ")
	if explicit := loader.ConfigAccess().GetExplicitFile(); explicit != "" {
		files = explicit
	}
	if len(raw.Contexts) > 0 {
		return fmt.Errorf("no hub: the kubeconfig (%s) has no current context. %s", files, nameTheHub)
	}
	return fmt.Errorf("no hub: the kubeconfig is missing or empty (%s). %s", files, nameTheHub)
}

// isUnreachable returns whether err is that of a hub which does not answer at all.
func (p plugin) isUnreachable(err error) bool {
	asked, ok := errors.AsType[*url.Error](err)
	if !ok || errors.Is(err, context.Canceled) {
		return false
	}
	config, err := p.flags.ToRESTConfig()
	return err == nil && strings.HasPrefix(asked.URL, strings.TrimRight(config.Host, "/")+"/")
}
