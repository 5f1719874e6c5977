// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// maxMessage bounds a message in the status, and the note of an event, in bytes.
	maxMessage = 1000
	// maxNamed is how many clusters an event names of those that came, and of those that went.
	maxNamed = 10
)

// tell writes what has come of a placement into its status, where that says something new.
func (c *Controller) tell(
	ctx context.Context, placement *v1alpha1.Placement, p *plan, result *scheduling.Result, groups []v1alpha1.DecisionGroupStatus,
) error {
	next := placement.DeepCopy()
	//nolint:gosec // a hub has no such number of objects
	next.Status = v1alpha1.PlacementStatus{
		ObservedGeneration:        placement.Generation,
		NumberOfSelectedClusters:  int32(len(result.Decisions)),
		NumberOfEligibleClusters:  int32(result.Eligible),
		NumberOfCandidateClusters: int32(result.Candidates),
		NumberOfStaleClusters:     int32(result.Stale),
		LastMoveTime:              p.moved,
		DecisionGroups:            groups,
		Conditions:                next.Status.Conditions,
	}
	setCondition(next, v1alpha1.PlacementMisconfigured, metav1.ConditionFalse, v1alpha1.PlacementReasonSucceedConfigured, "the spec has no mistakes")
	status, reason, message := satisfied(p, result)
	setCondition(next, v1alpha1.PlacementSatisfied, status, reason, message)
	return c.writeStatus(ctx, placement, next)
}

func satisfied(p *plan, result *scheduling.Result) (status metav1.ConditionStatus, reason, message string) {
	switch {
	case p.namespaces.Len() == 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterSets,
			"no namespace is in the cluster sets whose ClusterProfiles the author of this placement may list"
	case len(result.Decisions) == 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterMatched,
			fmt.Sprintf("of %d clusters none meets all needs; kubectl clusterpass explain placement says why", result.Candidates)
	case result.Unscheduled > 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNotAllDecisionsScheduled,
			fmt.Sprintf("%d clusters are selected, %d more are asked for; %d of %d are eligible", len(result.Decisions), result.Unscheduled, result.Eligible, result.Candidates)
	default:
		return metav1.ConditionTrue, v1alpha1.PlacementReasonAllDecisionsScheduled, fmt.Sprintf("%d clusters are selected", len(result.Decisions))
	}
}

// tellMistakes writes what is wrong with a spec. What was decided by the last good one stays.
func (c *Controller) tellMistakes(ctx context.Context, placement *v1alpha1.Placement, mistakes field.ErrorList) error {
	next := placement.DeepCopy()
	next.Status.ObservedGeneration = placement.Generation
	message := clip(mistakes.ToAggregate().Error())
	setCondition(next, v1alpha1.PlacementMisconfigured, metav1.ConditionTrue, v1alpha1.PlacementReasonMisconfigured, message)
	setCondition(next, v1alpha1.PlacementSatisfied, metav1.ConditionFalse, v1alpha1.PlacementReasonMisconfigured, "the last good decision stays: "+message)
	return c.writeStatus(ctx, placement, next)
}

// tellTaken writes that a PlacementDecision can't be written.
func (c *Controller) tellTaken(ctx context.Context, placement *v1alpha1.Placement, err error) error {
	next := placement.DeepCopy()
	setCondition(next, v1alpha1.PlacementSatisfied, metav1.ConditionFalse, v1alpha1.PlacementReasonNameTaken, err.Error())
	return c.writeStatus(ctx, placement, next)
}

func setCondition(placement *v1alpha1.Placement, of string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&placement.Status.Conditions, metav1.Condition{
		Type: of, Status: status, ObservedGeneration: placement.Generation, Reason: reason, Message: clip(message),
	})
}

func clip(message string) string {
	return strings.ToValidUTF8(message[:min(len(message), maxMessage)], "")
}

func (c *Controller) writeStatus(ctx context.Context, placement, next *v1alpha1.Placement) error {
	if equality.Semantic.DeepEqual(placement.Status, next.Status) {
		return nil
	}
	_, err := c.Client.ClusterpassV1alpha1().Placements(placement.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// tellMove is an event with the clusters that have come, and those that have gone.
func (c *Controller) tellMove(placement *v1alpha1.Placement, have, want []*inventoryv1alpha1.PlacementDecision) {
	before, after := sets.KeySet(visible(have)), sets.KeySet(visible(want))
	c.Recorder.Eventf(placement, nil, corev1.EventTypeNormal, "Decided", "Schedule", "%s",
		clip(fmt.Sprintf("%d clusters are selected; new: %s; no longer: %s", after.Len(), list(after.Difference(before)), list(before.Difference(after)))))
}

func list(clusters sets.Set[types.NamespacedName]) string {
	if clusters.Len() == 0 {
		return "none"
	}
	var names []string
	for cluster := range clusters {
		names = append(names, cluster.String())
	}
	names = sets.List(sets.New(names...))
	more := ""
	if len(names) > maxNamed {
		more = fmt.Sprintf(" and %d more", len(names)-maxNamed)
	}
	return strings.Join(names[:min(len(names), maxNamed)], ", ") + more
}
