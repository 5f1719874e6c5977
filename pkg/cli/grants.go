// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"

	"clusterpass.dev/pkg/generated/clientset/versioned"
	clusterpassscheme "clusterpass.dev/pkg/generated/clientset/versioned/scheme"
)

const (
	grantsResource = "authtokengrants"
	// tableAccept asks for the server's own columns, as kubectl get does.
	tableAccept = "application/json;as=Table;v=v1;g=meta.k8s.io"
	outputWide  = "wide"
)

// grantFilter selects grants.
type grantFilter struct {
	plugin
	allNamespaces             bool
	cluster                   string
	serviceAccount, requester string
}

func (f *grantFilter) addFlags(flags *pflag.FlagSet) {
	flags.BoolVarP(&f.allNamespaces, "all-namespaces", "A", false, "Grants of requests from all namespaces.")
	flags.StringVar(&f.serviceAccount, "service-account", "", "Only grants for this ServiceAccount of the member: NAME or NAMESPACE/NAME.")
	flags.StringVar(&f.requester, "requester", "", "Only grants that this user of the hub requested.")
}

// selector returns the field selector of the filter.
func (f *grantFilter) selector() string {
	clusterNamespace, cluster := split(f.cluster)
	accountNamespace, account := split(f.serviceAccount)
	set := fields.Set{
		"spec.clusterProfile.namespace": clusterNamespace, "spec.clusterProfile.name": cluster,
		"spec.serviceAccount.namespace": accountNamespace, "spec.serviceAccount.name": account,
		"spec.requester.username": f.requester,
	}
	maps.DeleteFunc(set, func(_, value string) bool { return value == "" })
	return set.String()
}

// split returns the parts of NAMESPACE/NAME; the namespace may be left out.
func split(name string) (namespace, rest string) {
	if namespace, rest, ok := strings.Cut(name, "/"); ok {
		return namespace, rest
	}
	return "", name
}

// client returns a client for the hub, and the namespace that f is about.
func (f *grantFilter) client() (versioned.Interface, string, error) {
	hub, namespace, err := f.hub()
	if err != nil {
		return nil, "", err
	}
	if f.allNamespaces {
		namespace = metav1.NamespaceAll
	}
	client, err := versioned.NewForConfig(hub)
	return client, namespace, err
}

// grantsOptions are those of grants.
type grantsOptions struct {
	grantFilter
	print *genericclioptions.PrintFlags
}

func newGrantsCommand(p plugin) *cobra.Command {
	o := &grantsOptions{grantFilter: grantFilter{plugin: p}, print: genericclioptions.NewPrintFlags("")}
	cmd := &cobra.Command{
		Use:   "grants [CLUSTER]",
		Short: "List who was given tokens for which cluster",
		Long: `List AuthTokenGrants: who was given tokens, for which cluster, with which roles, and until when at most.

A grant is in the namespace from which the token was requested. CLUSTER is the name of a ClusterProfile, or NAMESPACE/NAME.`,
		Example: `  # What was granted on bravelion, to anybody
  kubectl clusterpass grants bravelion -A

  # What alice has been granted in this namespace
  kubectl clusterpass grants --requester alice`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: p.completeClusters(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.cluster = args[0]
			}
			return o.run(cmd.Context())
		},
	}
	o.addFlags(cmd.Flags())
	o.print.AddFlags(cmd)
	return cmd
}

func (o *grantsOptions) run(ctx context.Context) error {
	client, namespace, err := o.client()
	if err != nil {
		return err
	}
	output := *o.print.OutputFormat
	if output == outputWide || (output == "" && *o.print.TemplatePrinterFlags.TemplateArgument == "") {
		return o.printTable(ctx, client, namespace, output == outputWide)
	}
	printer, err := o.print.ToPrinter()
	if err != nil {
		return err
	}
	data, err := o.list(ctx, client, namespace, runtime.ContentTypeJSON)
	if err != nil {
		return err
	}
	// The codec sets the kind of each grant, which the hub's list leaves out.
	grants, err := runtime.Decode(unstructured.UnstructuredJSONScheme, data)
	if err != nil {
		return fmt.Errorf("the hub's list of grants: %w", err)
	}
	return printer.PrintObj(grants, o.streams.Out)
}

// list returns the hub's list of the grants in the format that accept names.
func (o *grantsOptions) list(ctx context.Context, client versioned.Interface, namespace, accept string) ([]byte, error) {
	result := client.ClusterpassV1alpha1().RESTClient().Get().
		NamespaceIfScoped(namespace, namespace != metav1.NamespaceAll).
		Resource(grantsResource).
		VersionedParams(&metav1.ListOptions{FieldSelector: o.selector()}, clusterpassscheme.ParameterCodec).
		SetHeader("Accept", accept).
		Do(ctx)
	// Raw's own error knows nothing of what the hub says.
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}

// printTable prints the grants in the columns that the server gives them.
func (o *grantsOptions) printTable(ctx context.Context, client versioned.Interface, namespace string, wide bool) error {
	data, err := o.list(ctx, client, namespace, tableAccept)
	if err != nil {
		return err
	}
	table := &metav1.Table{}
	if err := json.Unmarshal(data, table); err != nil {
		return fmt.Errorf("decoding the hub's table of grants: %w", err)
	}
	if len(table.Rows) == 0 {
		_, err := fmt.Fprintln(o.streams.ErrOut, "No grants found")
		return err
	}
	// The column of namespaces is printed from the metadata of the rows.
	for i := range table.Rows {
		metadata := &metav1.PartialObjectMetadata{}
		if err := json.Unmarshal(table.Rows[i].Object.Raw, metadata); err != nil {
			return fmt.Errorf("decoding the hub's table of grants: %w", err)
		}
		table.Rows[i].Object.Object = metadata
	}
	printer := printers.NewTablePrinter(printers.PrintOptions{WithNamespace: namespace == metav1.NamespaceAll, Wide: wide})
	return printer.PrintObj(table, o.streams.Out)
}
