// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/pkg/profiles"
)

const (
	// completionTimeout bounds what a shell waits for.
	completionTimeout = 3 * time.Second
	// completionLimit bounds how many names a shell is given, and how many are read at once.
	completionLimit = 500
)

// completeClusters completes arguments with the names of ClusterProfiles.
func (p plugin) completeClusters(most int) cobra.CompletionFunc {
	return p.complete(func(ctx context.Context, hub *rest.Config) (schema.GroupVersionResource, error) {
		client, err := discovery.NewDiscoveryClientForConfig(hub)
		if err != nil {
			return schema.GroupVersionResource{}, err
		}
		return profiles.NewVersions(client).Resource(ctx, profiles.ClusterProfiles)
	}, most)
}

// completeNames completes arguments, at most so many if that is not 0, with the names of objects in
// the namespace. A hub that does not answer completes nothing.
func (p plugin) completeNames(of schema.GroupVersionResource, most int) cobra.CompletionFunc {
	return p.complete(func(context.Context, *rest.Config) (schema.GroupVersionResource, error) { return of, nil }, most)
}

// resourceOf returns a resource in the version that the hub serves.
type resourceOf func(ctx context.Context, hub *rest.Config) (schema.GroupVersionResource, error)

func (p plugin) complete(of resourceOf, most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return p.listNames(cmd.Context(), of, func(name string) bool {
			return strings.HasPrefix(name, begin) && !slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

// listNames returns the names that are wanted, as far as they were read in time.
func (p plugin) listNames(ctx context.Context, of resourceOf, wanted func(string) bool) []string {
	hub, namespace, err := p.hub()
	if err != nil {
		return nil
	}
	client, err := metadata.NewForConfig(hub)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	resource, err := of(ctx, hub)
	if err != nil {
		return nil
	}
	var names []string
	options := metav1.ListOptions{Limit: completionLimit}
	for {
		page, err := client.Resource(resource).Namespace(namespace).List(ctx, options)
		if err != nil {
			return names
		}
		for i := range page.Items {
			if name := page.Items[i].Name; wanted(name) {
				names = append(names, name)
			}
		}
		options.Continue = page.Continue
		if len(names) >= completionLimit || options.Continue == "" {
			return names[:min(len(names), completionLimit)]
		}
	}
}

// completeContexts completes with the contexts of a kubeconfig, which is read when all flags are
// known.
func completeContexts(load func() clientcmd.ClientConfig) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		config, err := load().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
	}
}
