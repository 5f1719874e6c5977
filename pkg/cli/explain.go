// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/explain"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/profiles"
	"clusterpass.dev/pkg/scheduling"
)

func newExplainCommand(p plugin) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Explain what was decided",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExplainPlacementCommand(p))
	return cmd
}

func newExplainPlacementCommand(p plugin) *cobra.Command {
	return &cobra.Command{
		Use:   "placement NAME",
		Short: "Say why a Placement selects each cluster, or why not",
		Long: `Say why each cluster that a Placement chooses from is selected, or why not: the requirement that the cluster does not meet, or
its scores and their weights.

The command decides as the controller does, from the objects that you may read on the hub now. It omits namespaces whose
ClusterProfiles you cannot list. If there is no cluster to choose from, it says why.`,
		Example:           `  kubectl clusterpass explain placement gpu -n team-a`,
		Args:              names(cobra.ExactArgs(1)),
		ValidArgsFunction: p.completeNames(v1alpha1.SchemeGroupVersion.WithResource("placements"), 1),
		RunE:              func(cmd *cobra.Command, args []string) error { return p.explainPlacement(cmd.Context(), args[0]) },
	}
}

func (p plugin) explainPlacement(ctx context.Context, name string) error {
	config, namespace, err := p.hub()
	if err != nil {
		return err
	}
	hub := explain.Hub{}
	if hub.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	if hub.Client, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	if hub.Inventory, err = profiles.NewClientset(config, profiles.NewVersions(hub.Kubernetes.Discovery())); err != nil {
		return err
	}
	answer, err := hub.Placement(ctx, namespace, name, time.Now())
	if err != nil {
		return err
	}
	if answer.None != "" {
		return printNone(p.streams.Out, namespace+"/"+name, answer)
	}
	printLeftOut(p.streams.ErrOut, answer)
	if told := answer.Condition; told != nil && told.Reason == v1alpha1.PlacementReasonNoClusterSets {
		fmt.Fprintf(p.streams.ErrOut, "warning: the controller cannot choose these clusters: %s: %s\n", told.Reason, told.Message)
	}
	return printExplanations(p.streams.Out, answer.Explanations)
}

// printLeftOut warns of what is not among the explanations, and of what may be among them and be
// none of the controller's.
func printLeftOut(out io.Writer, answer *explain.Placement) {
	for _, namespace := range answer.Hidden {
		fmt.Fprintf(out, "warning: you may not list the ClusterProfiles of namespace %s: they are omitted\n", namespace)
	}
	for _, namespace := range answer.Refused {
		fmt.Fprintf(out,
			"warning: the author of the Placement may not list the ClusterProfiles of namespace %s: it does not choose from them\n", namespace)
	}
	if len(answer.Unreviewed) > 0 {
		fmt.Fprintf(out, "warning: you may not create SubjectAccessReviews, "+
			"so it is not known whether the author of the Placement may list the ClusterProfiles of %s\n", strings.Join(answer.Unreviewed, ", "))
	}
	for _, why := range answer.Unreadable {
		fmt.Fprintf(out, "warning: %s: the controller does not choose it\n", why)
	}
}

// printNone prints why there is nothing to choose from, and what the controller says.
func printNone(out io.Writer, placement string, answer *explain.Placement) error {
	if _, err := fmt.Fprintf(out, "Placement %s has no candidate: %s\n", placement, answer.None); err != nil {
		return err
	}
	if answer.Condition == nil {
		return nil
	}
	_, err := fmt.Fprintf(out, "The controller says: %s: %s\n", answer.Condition.Reason, answer.Condition.Message)
	return err
}

// printExplanations prints the selected clusters, best first, then those that could be, then the
// others.
func printExplanations(out io.Writer, all []scheduling.Explanation) error {
	slices.SortStableFunc(all, func(a, b scheduling.Explanation) int {
		return cmp.Or(last(a.Selected)-last(b.Selected), last(a.Rank)-last(b.Rank))
	})
	w := printers.GetNewTabWriter(out)
	fmt.Fprintln(w, "CLUSTER\tSELECTED\tTOTAL\tWHY")
	for i := range all {
		e := &all[i]
		selected, total := "no", "-"
		if e.Selected >= 0 {
			selected = strconv.Itoa(e.Selected + 1)
		}
		if e.RefusedBy == "" {
			total = strconv.FormatInt(e.Total, 10)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", e.Cluster, selected, total, why(e))
	}
	return w.Flush()
}

// last puts what has no place behind all that have.
func last(place int) int {
	if place < 0 {
		return 1 << 30
	}
	return place
}

func why(e *scheduling.Explanation) string {
	if e.RefusedBy != "" {
		return e.RefusedBy + ": " + e.Reason
	}
	var parts []string
	for _, score := range e.Scores {
		value := "unknown"
		if score.Known {
			value = strconv.FormatInt(score.Score, 10)
		}
		parts = append(parts, fmt.Sprintf("%s %s x %d", score.Prioritizer, value, score.Weight))
	}
	scores := strings.Join(parts, ", ")
	if e.Reason == "" {
		return cmp.Or(scores, "meets all requirements")
	}
	return e.Reason + strings.TrimSuffix(" ("+scores+")", " ()")
}
