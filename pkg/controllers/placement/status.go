// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/sets"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/words"
)

// maxNamed is how many clusters an event names of those that came, and of those that went.
const maxNamed = 10

// latest returns the newer of the cached placement and the last one that was written: the cache may
// lack it.
func (s *placementState) latest(cached *v1alpha1.Placement) *v1alpha1.Placement {
	if s.lastStatus == nil || s.lastStatus.UID != cached.UID {
		return cached
	}
	if order, err := resourceversion.CompareResourceVersion(s.lastStatus.ResourceVersion, cached.ResourceVersion); err != nil || order <= 0 {
		return cached
	}
	return s.lastStatus
}

// updateStatus writes the result of the last pass into the status of a placement, if that changes
// it.
func (c *Controller) updateStatus(
	ctx context.Context, placement *v1alpha1.Placement, state *placementState, groups []v1alpha1.DecisionGroupStatus,
) error {
	next := state.latest(placement).DeepCopy()
	//nolint:gosec // a hub has no such number of objects
	next.Status = v1alpha1.PlacementStatus{
		ObservedGeneration:        placement.Generation,
		NumberOfSelectedClusters:  int32(len(state.result.Decisions)),
		NumberOfEligibleClusters:  int32(state.result.Eligible),
		NumberOfCandidateClusters: int32(state.result.Candidates),
		NumberOfStaleClusters:     int32(state.result.Stale),
		LastMoveTime:              state.moved,
		DecisionGroups:            groups,
		Conditions:                next.Status.Conditions,
	}
	setCondition(next, v1alpha1.PlacementMisconfigured, metav1.ConditionFalse, v1alpha1.PlacementReasonSucceedConfigured,
		"the spec has no mistakes")
	status, reason, message := satisfied(state)
	setCondition(next, v1alpha1.PlacementSatisfied, status, reason, message)
	return c.writeStatus(ctx, state, placement, next)
}

func satisfied(state *placementState) (status metav1.ConditionStatus, reason, message string) {
	result := state.result
	switch {
	case state.namespaces.Len() == 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterSets,
			"the author of this placement may list the ClusterProfiles of no namespace in the cluster sets"
	case result.Candidates == 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterMatched,
			"there is no cluster to choose from; kubectl clusterpass explain placement says why"
	case len(result.Decisions) == 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNoClusterMatched,
			fmt.Sprintf("none of %d clusters meets all requirements; kubectl clusterpass explain placement says why", result.Candidates)
	case result.Unscheduled > 0:
		return metav1.ConditionFalse, v1alpha1.PlacementReasonNotAllDecisionsScheduled,
			fmt.Sprintf("%d clusters are selected, %d more are requested; %d of %d are eligible",
				len(result.Decisions), result.Unscheduled, result.Eligible, result.Candidates)
	default:
		return metav1.ConditionTrue, v1alpha1.PlacementReasonAllDecisionsScheduled, fmt.Sprintf("%d clusters are selected", len(result.Decisions))
	}
}

// updateMisconfigured writes the mistakes in a spec into the status. The decision of the last good
// spec stays.
func (c *Controller) updateMisconfigured(ctx context.Context, placement *v1alpha1.Placement, state *placementState) error {
	next := state.latest(placement).DeepCopy()
	next.Status.ObservedGeneration = placement.Generation
	message := words.Message(state.mistakes.ToAggregate().Error())
	setCondition(next, v1alpha1.PlacementMisconfigured, metav1.ConditionTrue, v1alpha1.PlacementReasonMisconfigured, message)
	setCondition(next, v1alpha1.PlacementSatisfied, metav1.ConditionFalse, v1alpha1.PlacementReasonMisconfigured,
		"the last good decision stays: "+message)
	return c.writeStatus(ctx, state, placement, next)
}

// updateNameTaken writes into the status that a PlacementDecision cannot be written.
func (c *Controller) updateNameTaken(ctx context.Context, placement *v1alpha1.Placement, state *placementState, err error) error {
	next := state.latest(placement).DeepCopy()
	setCondition(next, v1alpha1.PlacementSatisfied, metav1.ConditionFalse, v1alpha1.PlacementReasonNameTaken, err.Error())
	return c.writeStatus(ctx, state, placement, next)
}

// updateNotServed writes into the status that the hub has no PlacementDecisions.
func (c *Controller) updateNotServed(ctx context.Context, placement *v1alpha1.Placement, state *placementState) error {
	next := state.latest(placement).DeepCopy()
	setCondition(next, v1alpha1.PlacementSatisfied, metav1.ConditionFalse, v1alpha1.PlacementReasonNotServed, decision.ErrNotServed.Error())
	return c.writeStatus(ctx, state, placement, next)
}

// updateAllNotServed is updateNotServed for all placements.
func (c *Controller) updateAllNotServed(ctx context.Context) error {
	all, err := c.Placements.Lister().List(labels.Everything())
	if err != nil {
		return err
	}
	var errs []error
	for _, placement := range all {
		errs = append(errs, c.updateNotServed(ctx, placement, &placementState{}))
	}
	return errors.Join(errs...)
}

func setCondition(placement *v1alpha1.Placement, of string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&placement.Status.Conditions, metav1.Condition{
		Type: of, Status: status, ObservedGeneration: placement.Generation, Reason: reason, Message: words.Message(message),
	})
}

func (c *Controller) writeStatus(ctx context.Context, state *placementState, placement, next *v1alpha1.Placement) error {
	if equality.Semantic.DeepEqual(state.latest(placement).Status, next.Status) {
		return nil
	}
	lastStatus, err := c.Client.ClusterpassV1alpha1().Placements(placement.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		state.lastStatus = lastStatus
	}
	return err
}

// recordMove records an event with the clusters that were added and removed.
func (c *Controller) recordMove(placement *v1alpha1.Placement, before, after []types.NamespacedName) {
	was, now := sets.New(before...), sets.New(after...)
	c.Recorder.Eventf(placement, nil, corev1.EventTypeNormal, "Decided", "Schedule", "%s",
		words.Message(fmt.Sprintf("%d clusters are selected; new: %s; no longer: %s",
			now.Len(), list(now.Difference(was)), list(was.Difference(now)))))
}

func list(clusters sets.Set[types.NamespacedName]) string {
	if clusters.Len() == 0 {
		return "none"
	}
	var names []string
	for cluster := range clusters {
		names = append(names, cluster.String())
	}
	slices.Sort(names)
	return words.Some(names, ", ", maxNamed)
}
