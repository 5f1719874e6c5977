// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credential"
)

// tokenOptions are those of token.
type tokenOptions struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	request credential.RequestFlags
	print   *genericclioptions.PrintFlags
}

func newTokenCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &tokenOptions{flags: flags, streams: streams, print: genericclioptions.NewPrintFlags("")}
	o.print.NamePrintFlags = nil // an answer has no name
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
  kubectl clusterpass token bravelion --expiration-seconds=7200 -o go-template='{{.kubeconfig | base64decode}}'`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: completeClusters(flags, 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	o.print.AddFlags(cmd)
	o.request.AddFlags(cmd.Flags())
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions(o.print.AllowedFormats(), cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (o *tokenOptions) run(ctx context.Context, cluster string) error {
	printer, err := o.print.ToPrinter()
	if *o.print.OutputFormat == "" && genericclioptions.IsNoCompatiblePrinterError(err) {
		printer, err = printers.NewJSONPathPrinter(`{.token}{"\n"}`)
	}
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
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(status)
	if err != nil {
		return errors.New("the answer can't be encoded")
	}
	answer := &unstructured.Unstructured{Object: content}
	answer.SetGroupVersionKind(clusterpassv1alpha1.SchemeGroupVersion.WithKind("AuthTokenRequestStatus"))
	var printed bytes.Buffer
	// A printer's own error quotes the answer, and with it the token.
	if printer.PrintObj(answer, &printed) != nil {
		return fmt.Errorf("the answer can't be printed: the template does not fit its fields, which -o json shows. "+
			"The token was issued: kubectl clusterpass revoke %s ends it", status.GrantName)
	}
	_, err = printed.WriteTo(o.streams.Out)
	return err
}
