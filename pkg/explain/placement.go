// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package explain works out what was decided on a hub, and why, from what its user may read there.
package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/rights"
	"clusterpass.dev/pkg/scheduling"
)

// Hub is read as the user of these clients.
type Hub struct {
	Kubernetes kubernetes.Interface
	Client     versioned.Interface
	Inventory  inventory.Interface
}

// Placement is why a Placement selects clusters.
type Placement struct {
	// Explanations are those of all clusters that it may choose and the user may see, by name.
	Explanations []scheduling.Explanation
	// Hidden are the namespaces that it may choose from, and whose ClusterProfiles the user may not
	// list.
	Hidden []string
	// Refused are the namespaces in its cluster sets whose ClusterProfiles its author may not list: it
	// does not choose from them.
	Refused []string
	// Unreviewed are those of which the user may not ask whether the author may. They are taken for
	// namespaces that it chooses from.
	Unreviewed []string
	// Unreadable says of each ClusterProfile that cannot be understood why it is left out.
	Unreadable []string
	// None says why it has no cluster to choose from that the user may see; empty if it has one.
	None string
	// Condition is what the controller has said last of this Placement, where that is more than is
	// worked out here.
	Condition *metav1.Condition
}

// Placement returns what a Placement decides at an instant, and why.
func (h *Hub) Placement(ctx context.Context, namespace, name string, now time.Time) (*Placement, error) {
	placement, err := h.Client.ClusterpassV1alpha1().Placements(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	answer, fleet := &Placement{Condition: controllerCondition(placement)}, scheduling.NewFleet()
	namespaces, err := h.namespaces(ctx, placement, answer)
	if err != nil {
		return nil, err
	}
	for _, namespace := range namespaces {
		err := h.read(ctx, fleet, namespace, answer, now)
		if apierrors.IsForbidden(err) && namespace != placement.Namespace {
			answer.Hidden = append(answer.Hidden, namespace)
		} else if err != nil {
			return nil, err
		}
	}
	if err := h.readDecisions(ctx, fleet, placement); err != nil {
		return nil, err
	}
	policy, mistakes := scheduling.Compile(placement, namespaces)
	if len(mistakes) > 0 {
		return nil, fmt.Errorf("the controller does not follow it, and the last good decision stays: %w", mistakes.ToAggregate())
	}
	_, answer.Explanations = scheduling.NewPlan(fleet, policy).Explain(now)
	if len(answer.Explanations) == 0 {
		answer.None = whyNone(placement, namespaces, answer)
	}
	return answer, nil
}

// controllerCondition returns the condition PlacementSatisfied, where it is about the spec as it
// is, and neither True nor what is explained here.
func controllerCondition(placement *v1alpha1.Placement) *metav1.Condition {
	condition := meta.FindStatusCondition(placement.Status.Conditions, v1alpha1.PlacementSatisfied)
	switch {
	case condition == nil, condition.ObservedGeneration != placement.Generation,
		condition.Status == metav1.ConditionTrue, condition.Reason == v1alpha1.PlacementReasonNoClusterMatched:
		return nil
	}
	return condition
}

// whyNone says why a placement that may choose from namespaces has no candidate.
func whyNone(placement *v1alpha1.Placement, namespaces []string, answer *Placement) string {
	hidden := answer.Hidden
	seen := slices.DeleteFunc(slices.Clone(namespaces), func(namespace string) bool { return slices.Contains(hidden, namespace) })
	switch sets := placement.Spec.ClusterSets; {
	case len(sets) == 0:
		return "namespace " + placement.Namespace +
			" has no ClusterProfile, and without spec.clusterSets a Placement chooses from its own namespace alone"
	case len(namespaces) == 0 && len(answer.Refused) > 0:
		return "its author may not list the ClusterProfiles of the namespaces in its cluster sets: " + strings.Join(answer.Refused, ", ")
	case len(namespaces) == 0:
		return fmt.Sprintf("no namespace has the label %s=%s: none is in a cluster set of spec.clusterSets",
			scheduling.ClusterSetLabel, strings.Join(sets, " or "))
	case len(seen) == 0:
		return "you may not list the ClusterProfiles of the namespaces in its cluster sets: " + strings.Join(hidden, ", ")
	case len(hidden) > 0:
		return fmt.Sprintf("of the namespaces in its cluster sets, %s have no ClusterProfile, and you may not list those of %s",
			strings.Join(seen, ", "), strings.Join(hidden, ", "))
	default:
		return "no namespace in its cluster sets has a ClusterProfile: " + strings.Join(seen, ", ")
	}
}

// namespaces returns those that the placement chooses from, as the controller has it: those of
// others than its own whose ClusterProfiles its author may list. The answer has those that are left
// out, and those that the user may not ask about.
func (h *Hub) namespaces(ctx context.Context, placement *v1alpha1.Placement, answer *Placement) ([]string, error) {
	if len(placement.Spec.ClusterSets) == 0 {
		return []string{placement.Namespace}, nil
	}
	list, err := h.Kubernetes.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: scheduling.ClusterSetLabel})
	if err != nil {
		return nil, fmt.Errorf("which namespaces are in its cluster sets: %w", err)
	}
	var names []string
	for i := range list.Items {
		name := list.Items[i].Name
		if !slices.Contains(placement.Spec.ClusterSets, scheduling.ClusterSetOf(&list.Items[i])) {
			continue
		}
		allowed := name == placement.Namespace
		if !allowed {
			allowed, err = rights.Of(ctx, h.Kubernetes, placement.Spec.Author, scheduling.MayList(name))
		}
		switch {
		case apierrors.IsForbidden(err):
			answer.Unreviewed = append(answer.Unreviewed, name)
		case err != nil:
			return nil, err
		case !allowed:
			answer.Refused = append(answer.Refused, name)
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

// read tells fleet of the clusters of a namespace.
func (h *Hub) read(ctx context.Context, fleet *scheduling.Fleet, namespace string, answer *Placement, now time.Time) error {
	profiles, err := h.Inventory.ApisV1alpha1().ClusterProfiles(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	scores, err := h.Client.ClusterpassV1alpha1().ClusterScores(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	of := map[string][]*v1alpha1.ClusterScore{}
	for i := range scores.Items {
		score := &scores.Items[i]
		of[score.Spec.ClusterProfileName] = append(of[score.Spec.ClusterProfileName], score)
	}
	for i := range profiles.Items {
		if _, err := fleet.Feed(&profiles.Items[i], of[profiles.Items[i].Name], now); err != nil {
			answer.Unreadable = append(answer.Unreadable, err.Error())
		}
	}
	return nil
}

// readDecisions adds the decisions of placements to fleet. If the user may not list the
// PlacementDecisions of all namespaces, it reads only those of the placement's namespace.
func (h *Hub) readDecisions(ctx context.Context, fleet *scheduling.Fleet, placement *v1alpha1.Placement) error {
	list, err := h.Inventory.ApisV1alpha1().PlacementDecisions(corev1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		list, err = h.Inventory.ApisV1alpha1().PlacementDecisions(placement.Namespace).List(ctx, metav1.ListOptions{})
	}
	if apierrors.IsNotFound(err) {
		// A hub without PlacementDecisions has no decisions; the controller's condition says so.
		return nil
	}
	if err != nil {
		return err
	}
	by := map[types.NamespacedName][]*inventoryv1alpha1.PlacementDecision{}
	for i := range list.Items {
		slice := &list.Items[i]
		if owner := decision.OwnerOf(slice); owner != nil {
			name := types.NamespacedName{Namespace: slice.Namespace, Name: owner.Name}
			by[name] = append(by[name], slice)
		}
	}
	for name, all := range by {
		var moved *metav1.MicroTime
		if name.Namespace == placement.Namespace && name.Name == placement.Name {
			moved = placement.Status.LastMoveTime
		}
		fleet.SetDecision(name, scheduling.NewDecision(decision.AllClusters(all), moved))
	}
	return nil
}
