// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"net/url"
	"os"

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

// load returns the member, or nil if neither a context nor a kubeconfig is given. A kubeconfig
// alone is its current context.
func (f *memberFlags) load(hub *genericclioptions.ConfigFlags) (*join.Member, error) {
	if f.context == "" && f.kubeconfig == "" {
		return nil, nil //nolint:nilnil // that there is none is an answer
	}
	config := f.clientConfig(hub)
	raw, err := config.RawConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of the member: %w", err)
	}
	name := cmp.Or(f.context, raw.CurrentContext)
	if name == "" {
		return nil, fmt.Errorf("the kubeconfig %s has no current context; choose one with --%s", f.kubeconfig, flagMemberContext)
	}
	endpoint, err := f.endpoint(&raw, name)
	if err != nil {
		return nil, err
	}
	client, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("context %q of the member: %w", name, err)
	}
	return &join.Member{Config: client, Endpoint: *endpoint}, nil
}

// clientConfig returns the kubeconfig that the member's context is in, with that context as the
// current one.
func (f *memberFlags) clientConfig(hub *genericclioptions.ConfigFlags) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = cmp.Or(f.kubeconfig, ptr.Deref(hub.KubeConfig, ""))
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
}

// endpoint returns the cluster of the context, with its CA inline and by the address that the hub
// is to use.
func (f *memberFlags) endpoint(config *clientcmdapi.Config, name string) (*clientcmdapi.Cluster, error) {
	context, ok := config.Contexts[name]
	if !ok {
		return nil, fmt.Errorf("the member's kubeconfig has no context %q", name)
	}
	cluster, ok := config.Clusters[context.Cluster]
	if !ok {
		return nil, fmt.Errorf("the member's kubeconfig has no cluster %q for context %q", context.Cluster, name)
	}
	for field, value := range map[string]string{"server": cluster.Server, "proxy-url": cluster.ProxyURL} {
		// client-go's own words would quote it, with a password that may be in there.
		if _, err := url.Parse(value); err != nil {
			return nil, fmt.Errorf("the member's context %q: its %s is not a URL", name, field)
		}
	}
	endpoint := cluster.DeepCopy()
	endpoint.Server = cmp.Or(f.server, endpoint.Server)
	if len(endpoint.CertificateAuthorityData) > 0 || endpoint.CertificateAuthority == "" {
		return endpoint, nil
	}
	ca, err := os.ReadFile(endpoint.CertificateAuthority)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority of context %q: %w", name, err)
	}
	endpoint.CertificateAuthorityData = ca
	return endpoint, nil
}
