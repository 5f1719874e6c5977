// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/tools/clientcmd"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
)

// completionTimeout bounds what a shell waits for.
const completionTimeout = 3 * time.Second

// completeClusters completes arguments with the names of the ClusterProfiles in the namespace. A hub that does not answer
// completes nothing.
func completeClusters(flags *genericclioptions.ConfigFlags, most int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := clusterNames(cmd.Context(), flags)
		return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(args, name) }), cobra.ShellCompDirectiveNoFileComp
	}
}

func clusterNames(ctx context.Context, flags *genericclioptions.ConfigFlags) []string {
	hub, err := flags.ToRESTConfig()
	if err != nil {
		return nil
	}
	namespace, _, err := flags.ToRawKubeConfigLoader().Namespace()
	if err != nil {
		return nil
	}
	client, err := inventory.NewForConfig(hub)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	profiles, err := client.ApisV1alpha1().ClusterProfiles(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for i := range profiles.Items {
		names = append(names, profiles.Items[i].Name)
	}
	return names
}

// registerFlagCompletions completes --context by the contexts of the kubeconfig.
func registerFlagCompletions(cmd *cobra.Command, flags *genericclioptions.ConfigFlags) {
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("context", completeContexts(flags.ToRawKubeConfigLoader)))
}

// completeContexts completes with the contexts of a kubeconfig, which is read when all flags are known.
func completeContexts(load func() clientcmd.ClientConfig) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		config, err := load().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
	}
}
