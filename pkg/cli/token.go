// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/credential"
)

// tokenOptions are those of token.
type tokenOptions struct {
	plugin
	request credential.RequestFlags
	print   *genericclioptions.PrintFlags
}

func newTokenCommand(p plugin) *cobra.Command {
	o := &tokenOptions{plugin: p, print: genericclioptions.NewPrintFlags("")}
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
		ValidArgsFunction: p.completeClusters(1),
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
	config, namespace, err := o.mintingHub(o.flags.ToRawKubeConfigLoader())
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

const (
	getTokenName      = "get-token"
	flagHubKubeconfig = "hub-kubeconfig"
	flagHubContext    = "hub-context"
)

// getTokenOptions are those of get-token.
type getTokenOptions struct {
	plugin
	hubKubeconfig, hubContext string
	request                   credential.RequestFlags
	source                    credential.Options
}

func newGetTokenCommand(p plugin) *cobra.Command {
	o := &getTokenOptions{plugin: p}
	cmd := &cobra.Command{
		Use:   getTokenName + " CLUSTER",
		Short: "Print a token for a member cluster as an exec credential, for use in kubeconfigs",
		Long: `Print a token for a member cluster as an ExecCredential (client.authentication.k8s.io v1 or v1beta1).

The contexts that "kubectl clusterpass kubeconfig" writes run this command. It caches tokens in a folder
that only you can enter, until 80 % of their lifetime is over. The expirationTimestamp in the answer is
that time, so clients ask again while the token still works. If a client says which server it will
connect to (provideClusterInfo), it gets a token only if the hub names the same server for CLUSTER.

Without --cluster-role and --role the token has the rights of ClusterRole view. Without --service-account it is for
a ServiceAccount in namespace default, whose name is made from your user name and the request.`,
		Example: `  # A token that may read everything on bravelion but Secrets
  kubectl clusterpass get-token bravelion`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: p.completeClusters(1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVar(&o.hubKubeconfig, flagHubKubeconfig, "",
		"Kubeconfig file for the hub, or several as in $KUBECONFIG; overrides --kubeconfig.")
	cmd.Flags().StringVar(&o.hubContext, flagHubContext, "", "Context of the kubeconfig that is the hub; overrides --context.")
	o.request.AddFlags(cmd.Flags())
	o.source.AddFlags(cmd.Flags())
	return cmd
}

func (o *getTokenOptions) run(ctx context.Context, cluster string) error {
	exec, err := credential.ParseExec(os.Getenv(credential.ExecInfoEnv))
	if err != nil {
		return err
	}
	hub, namespace, err := o.mintingHub(o.clientConfig())
	if err != nil {
		return err
	}
	o.source.Caller = credential.Caller()
	source, err := credential.NewSource(hub, o.source)
	if err != nil {
		return err
	}
	r, err := newRequest(ctx, source, namespace, cluster, &o.request)
	if err != nil {
		return err
	}
	c, err := source.Get(ctx, r, exec.Credential.Spec.Cluster)
	if err != nil {
		return err
	}
	return exec.Answer(o.streams.Out, c.ExecStatus(time.Now()))
}

// clientConfig returns the configuration for the hub: of the flags for it alone, or else of
// kubectl's.
func (o *getTokenOptions) clientConfig() clientcmd.ClientConfig {
	if o.hubKubeconfig == "" && o.hubContext == "" {
		return o.flags.ToRawKubeConfigLoader()
	}
	return credential.HubConfig(o.hubKubeconfig, o.hubContext)
}

// mintingHub is hubOf for requests of tokens, of which the user sees the hub's warnings.
func (p plugin) mintingHub(loader clientcmd.ClientConfig) (*rest.Config, string, error) {
	hub, namespace, err := p.hubOf(loader)
	if err != nil {
		return nil, "", err
	}
	hub.WarningHandler = rest.NewWarningWriter(p.streams.ErrOut, rest.WarningWriterOptions{Deduplicate: true})
	return hub, namespace, nil
}

const (
	// program is the name of the kubectl plugin's binary.
	program = "kubectl-clusterpass"
	// defaultClusterRole may read all but Secrets.
	defaultClusterRole = "view"
)

// errNotHub is that of a context which leads to a member cluster by this very program, which would
// run itself without end.
var errNotHub = errors.New(
	"this context, made by kubectl clusterpass kubeconfig, is for a member cluster: name the hub's context with --context")

// isGetToken returns whether a credential plugin is our get-token, as contexts run it.
func isGetToken(exec *clientcmdapi.ExecConfig) bool {
	return exec != nil && len(exec.Args) > 0 && exec.Args[0] == getTokenName &&
		slices.ContainsFunc(exec.Args, func(arg string) bool { return strings.HasPrefix(arg, "--"+flagHubKubeconfig+"=") })
}

// newRequest returns what flags ask for of a cluster, with the defaults: ClusterRole view where no
// role is named, and a ServiceAccount named for the user.
func newRequest(
	ctx context.Context, hub credential.Namer, namespace, cluster string, flags *credential.RequestFlags,
) (credential.Request, error) {
	r := credential.Request{Namespace: namespace}
	r.TargetClusterProfile = v1alpha1.ClusterProfileReference{Namespace: namespace, Name: cluster}
	if !flags.NamesRoles() {
		r.ClusterRoles = []v1alpha1.ClusterRole{{Name: defaultClusterRole}}
	}
	if err := flags.Apply(&r); err != nil {
		return r, err
	}
	return r.WithAccount(ctx, hub)
}
