// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/generated/clientset/versioned"
)

// renewAuthorOptions are those of renew-author.
type renewAuthorOptions struct {
	plugin
	generation int64
	uid        string
}

func newRenewAuthorCommand(p plugin) *cobra.Command {
	o := &renewAuthorOptions{plugin: p}
	cmd := &cobra.Command{
		Use:   "renew-author SET --generation=GENERATION --uid=UID",
		Short: "Become the author of a ClusterCredentialSet as it is",
		Long: `Make yourself, with the groups that you are in now, the author of a ClusterCredentialSet.

A set gets the credentials that its author may have. The author is the user who last changed the set's spec;
applying an unchanged spec does not change the author. After this command, the set gets only what you may have.

Without --generation and --uid the command shows the set, and the command that makes you the author of exactly
that. If somebody has changed or replaced the set since, that command fails. You need the right to create
clustercredentialsets/author.`,
		Example: `  # Look at the set, and take it over from an author who has left
  kubectl clusterpass renew-author gpu -n default
  kubectl clusterpass renew-author gpu -n default --generation=4 --uid=5a1cbd3c-5b0e-4f0c-9d3e-2f1f5f3f6a11`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: p.completeNames(clusterpassv1alpha1.SchemeGroupVersion.WithResource("clustercredentialsets"), 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().Int64Var(&o.generation, "generation", 0, "Generation of the set that you have looked at.")
	cmd.Flags().StringVar(&o.uid, "uid", "", "UID of the set that you have looked at.")
	cmd.MarkFlagsRequiredTogether("generation", "uid")
	return cmd
}

func (o *renewAuthorOptions) run(ctx context.Context, name string) error {
	config, namespace, err := o.hub()
	if err != nil {
		return err
	}
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return err
	}
	sets := client.ClusterpassV1alpha1().ClusterCredentialSets(namespace)
	if o.uid == "" {
		set, err := sets.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return o.show(set)
	}
	renewed, err := sets.RenewAuthor(ctx, name, &clusterpassv1alpha1.ClusterCredentialSet{
		ObjectMeta: metav1.ObjectMeta{UID: types.UID(o.uid), Generation: o.generation},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.streams.Out, "clustercredentialset.clusterpass.dev/%s author is %s\n", name, renewed.Spec.Author.Username)
	return err
}

// show prints what a set says, and returns an error with the command to become its author.
func (o *renewAuthorOptions) show(set *clusterpassv1alpha1.ClusterCredentialSet) error {
	spec, err := yaml.Marshal(set.Spec)
	if err != nil {
		return err
	}
	if _, err := o.streams.Out.Write(spec); err != nil {
		return err
	}
	return fmt.Errorf("the set would request these tokens in your name, and everybody who reads the Secrets gets them. "+
		"To become the author: %s", credentialset.RenewCommand(set))
}
