// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
)

// tokenOptions are those of token.
type tokenOptions struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	request credential.RequestFlags
	output  string
}

func newTokenCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &tokenOptions{flags: flags, streams: streams}
	cmd := &cobra.Command{
		Use:   "token CLUSTER",
		Short: "Print a new token for a member cluster",
		Long: `Print a new token for a member cluster, and nothing else. With -o, print the hub's whole answer: the token, when it
expires and when to replace it, how to reach the cluster, a kubeconfig, and the grant that records it.

The token is not stored. Without --cluster-role and --role it has the rights of ClusterRole view. Without
--service-account it is for a ServiceAccount in namespace default, whose name is made from your user name and the request.`,
		Example: `  # A token that may read everything on bravelion but Secrets
  kubectl clusterpass token bravelion

  # A kubeconfig for two hours
  kubectl clusterpass token bravelion --expiration-seconds=7200 -o json | jq -r .kubeconfig | base64 -d`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: completeClusters(flags, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "Print the whole answer, as json or yaml.")
	o.request.AddFlags(cmd.Flags())
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (o *tokenOptions) run(ctx context.Context, cluster string) error {
	encode, err := encoding(o.output)
	if err != nil {
		return err
	}
	config, namespace, err := hubClient(o.flags.ToRawKubeConfigLoader(), o.flags, o.streams)
	if err != nil {
		return err
	}
	hub, err := credential.NewHub(config)
	if err != nil {
		return err
	}
	r, err := newRequest(ctx, hub, namespace, cluster, &o.request)
	if err != nil {
		return err
	}
	status, err := hub.Mint(ctx, r)
	if err != nil {
		return err
	}
	encoded, err := encode(status)
	if err != nil {
		return errors.New("the answer can't be encoded")
	}
	_, err = o.streams.Out.Write(encoded)
	return err
}

// encoding returns how an answer is written in an output format.
func encoding(output string) (func(*v1alpha1.AuthTokenRequestStatus) ([]byte, error), error) {
	switch output {
	case "":
		return func(s *v1alpha1.AuthTokenRequestStatus) ([]byte, error) { return []byte(s.Token + "\n"), nil }, nil
	case "json":
		return func(s *v1alpha1.AuthTokenRequestStatus) ([]byte, error) {
			encoded, err := json.MarshalIndent(s, "", "  ")
			return append(encoded, '\n'), err
		}, nil
	case "yaml":
		return func(s *v1alpha1.AuthTokenRequestStatus) ([]byte, error) { return yaml.Marshal(s) }, nil
	}
	return nil, fmt.Errorf("--output %q is neither json nor yaml", output)
}
