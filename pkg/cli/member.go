// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/join"
)

// memberFlags say how the user reaches a member, beside the hub.
type memberFlags struct {
	kubeconfig, context, server string
}

func (f *memberFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&f.context, flagMemberContext, "", "Context of the kubeconfig that is the member, for a user who may do what is needed there.")
	flags.StringVar(&f.kubeconfig, "member-kubeconfig", "", "Kubeconfig file of --member-context. Default: the hub's.")
}

func (f *memberFlags) addServerFlag(flags *pflag.FlagSet) {
	flags.StringVar(&f.server, "member-server", "", "URL that the hub is to reach the member by. Default: that of --member-context.")
}

// load returns the member, or nil where no context is given.
func (f *memberFlags) load(hub *genericclioptions.ConfigFlags) (*join.Member, error) {
	if f.context == "" {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	config := f.clientConfig(hub)
	raw, err := config.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the member: %w", err)
	}
	endpoint, err := f.endpoint(&raw)
	if err != nil {
		return nil, err
	}
	client, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q of the member: %w", f.context, err)
	}
	return &join.Member{Config: client, Endpoint: *endpoint}, nil
}

// clientConfig returns the kubeconfig that the member's context is in, with that context as the current one.
func (f *memberFlags) clientConfig(hub *genericclioptions.ConfigFlags) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	if rules.ExplicitPath == "" {
		rules.ExplicitPath = ptr.Deref(hub.KubeConfig, "")
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
}

// registerCompletion completes --member-context.
func (f *memberFlags) registerCompletion(cmd *cobra.Command, hub *genericclioptions.ConfigFlags) {
	utilruntime.Must(cmd.RegisterFlagCompletionFunc(flagMemberContext, completeContexts(func() clientcmd.ClientConfig {
		return f.clientConfig(hub)
	})))
}

// endpoint returns the cluster of the context, with its CA inline and by the address that the hub is to use.
func (f *memberFlags) endpoint(config *clientcmdapi.Config) (*clientcmdapi.Cluster, error) {
	context, ok := config.Contexts[f.context]
	if !ok {
		return nil, fmt.Errorf("the member's kubeconfig has no context %q", f.context)
	}
	cluster, ok := config.Clusters[context.Cluster]
	if !ok {
		return nil, fmt.Errorf("the member's kubeconfig has no cluster %q for context %q", context.Cluster, f.context)
	}
	endpoint := cluster.DeepCopy()
	if f.server != "" {
		endpoint.Server = f.server
	}
	if len(endpoint.CertificateAuthorityData) > 0 || endpoint.CertificateAuthority == "" {
		return endpoint, nil
	}
	ca, err := os.ReadFile(endpoint.CertificateAuthority)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority of context %q: %w", f.context, err)
	}
	endpoint.CertificateAuthorityData = ca
	return endpoint, nil
}
