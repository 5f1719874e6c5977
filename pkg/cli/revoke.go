// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/waiting"
)

// revokePoll is how often a grant is looked for that is being revoked.
const revokePoll = 500 * time.Millisecond

// revokeOptions are those of revoke.
type revokeOptions struct {
	grantFilter
	all     bool
	wait    bool
	timeout time.Duration
}

func newRevokeCommand(p plugin) *cobra.Command {
	o := &revokeOptions{grantFilter: grantFilter{plugin: p}}
	cmd := &cobra.Command{
		Use:   "revoke NAME... | --cluster-profile CLUSTER | --requester USER | --service-account ACCOUNT | --all-in-namespace",
		Short: "Revoke grants, and so end their tokens",
		Long: `Delete AuthTokenGrants, by name or by what they are for, and wait until none of their tokens works.

Several flags select the grants that match all of them. Tokens lose their rights within
milliseconds, and are refused after ten seconds at most; the command returns a little later.`,
		Example: `  # End the tokens of one grant
  kubectl clusterpass revoke bravelion-work-6f3c2a

  # End all tokens that bob was given
  kubectl clusterpass revoke --requester bob -A`,
		Args:              names(cobra.ArbitraryArgs),
		ValidArgsFunction: p.completeNames(clusterpassv1alpha1.SchemeGroupVersion.WithResource(grantsResource), 0),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&o.cluster, "cluster-profile", "", "Only grants for this ClusterProfile: NAME or NAMESPACE/NAME.")
	utilruntime.Must(cmd.RegisterFlagCompletionFunc("cluster-profile", p.completeClusters(0)))
	cmd.Flags().BoolVar(&o.all, "all-in-namespace", false, "All grants of requests from the namespace.")
	cmd.Flags().BoolVar(&o.wait, "wait", true, "Wait until the tokens have ended.")
	cmd.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "How long the wait may take.")
	return cmd
}

// validate makes sure that nobody revokes more than they have said.
func (o *revokeOptions) validate(names []string) error {
	filtered := o.selector() != ""
	switch {
	case len(names) > 0 && (filtered || o.all):
		return errors.New("give either names of grants or flags that select grants, not both")
	case len(names) > 0 && o.allNamespaces:
		return errors.New("--all-namespaces can't be used with names of grants: give flags that select grants, or --namespace")
	case o.all && (filtered || o.allNamespaces):
		return errors.New("--all-in-namespace can't be used with other flags that select grants")
	case len(names) == 0 && !filtered && !o.all:
		return errors.New("which grants? Give names, --cluster-profile, --requester, --service-account, or --all-in-namespace")
	default:
		return nil
	}
}

func (o *revokeOptions) run(ctx context.Context, names []string) error {
	if err := o.validate(names); err != nil {
		return err
	}
	client, namespace, err := o.client()
	if err != nil {
		return err
	}
	grants, err := o.find(ctx, client, namespace, names)
	if err != nil {
		return err
	}
	if len(grants) == 0 {
		_, err := fmt.Fprintln(o.streams.ErrOut, "No grants found")
		return err
	}
	for i := range grants {
		if err := o.delete(ctx, client, &grants[i]); err != nil {
			return err
		}
	}
	if !o.wait {
		return nil
	}
	return o.untilGone(ctx, client, grants)
}

// find returns the grants that are to be revoked.
func (o *revokeOptions) find(
	ctx context.Context, client versioned.Interface, namespace string, names []string,
) ([]clusterpassv1alpha1.AuthTokenGrant, error) {
	if len(names) == 0 {
		list, err := client.ClusterpassV1alpha1().AuthTokenGrants(namespace).List(ctx, metav1.ListOptions{FieldSelector: o.selector()})
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	var grants []clusterpassv1alpha1.AuthTokenGrant
	for _, name := range names {
		grant, err := client.ClusterpassV1alpha1().AuthTokenGrants(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, err
		}
		grants = append(grants, *grant)
	}
	return grants, nil
}

// delete deletes the grant that was seen, and not one that has taken its name since.
func (o *revokeOptions) delete(ctx context.Context, client versioned.Interface, grant *clusterpassv1alpha1.AuthTokenGrant) error {
	grants := client.ClusterpassV1alpha1().AuthTokenGrants(grant.Namespace)
	err := grants.Delete(ctx, grant.Name, *metav1.NewPreconditionDeleteOptions(string(grant.UID)))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("%s/%s: %w", grant.Namespace, grant.Name, err)
	}
	_, err = fmt.Fprintf(o.streams.Out, "authtokengrant.clusterpass.dev/%s deleted from %s namespace\n", grant.Name, grant.Namespace)
	return err
}

// untilGone waits until every grant is gone, and with it all its tokens.
func (o *revokeOptions) untilGone(ctx context.Context, client versioned.Interface, grants []clusterpassv1alpha1.AuthTokenGrant) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	ended := "their tokens have ended"
	for i := range grants {
		last := &grants[i]
		err := waiting.Until(ctx, revokePoll, o.timeout, func(ctx context.Context) (bool, error) {
			found, err := client.ClusterpassV1alpha1().AuthTokenGrants(last.Namespace).Get(ctx, last.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) || err == nil && found.UID != last.UID {
				return true, nil
			}
			if err == nil {
				last = found
			}
			return false, err
		})
		if wait.Interrupted(err) {
			return fmt.Errorf("%s/%s is deleted, but not revoked within %s: %s", last.Namespace, last.Name, o.timeout, whyNot(last))
		}
		if err != nil {
			return err
		}
		if last.Annotations[clusterpassv1alpha1.AnnotationAbandonMember] == "true" {
			ended = "grants with the annotation " + clusterpassv1alpha1.AnnotationAbandonMember +
				" were abandoned: their tokens may work until they expire"
		}
	}
	_, err := fmt.Fprintln(o.streams.Out, ended)
	return err
}

// whyNot returns what a grant says about its revocation.
func whyNot(grant *clusterpassv1alpha1.AuthTokenGrant) string {
	condition := apimeta.FindStatusCondition(grant.Status.Conditions, clusterpassv1alpha1.GrantRevoked)
	if condition == nil {
		return "the controller manager has not reported anything; is it running?"
	}
	return strings.TrimSpace(condition.Reason + ": " + condition.Message)
}
