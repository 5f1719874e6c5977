// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

const (
	// unseenPeriod is when to check again for a write that the watch has not delivered. Its event
	// enqueues the placement, too.
	unseenPeriod = time.Second
	// unseenLimit bounds the wait for such a write.
	unseenLimit = 10 * time.Second
)

// errBehind says that a slice differs from the cache. An event with the current one is on its way.
var errBehind = errors.New("the cache is behind")

// syncDecisions writes the slices, and the status, as the last pass has decided. It returns false
// if the cache lacks the last write: writing before that could remove a cluster from its only
// slice.
func (c *Controller) syncDecisions(ctx context.Context, placement *v1alpha1.Placement, state *placementState, now time.Time) (bool, error) {
	if c.isBehind(placement, state, now) {
		return false, nil
	}
	have, err := c.slicesOf(placement)
	if err != nil {
		return false, err
	}
	s := slicer{placement, c.User}
	want, groups := s.divide(state.result.Groups)
	err = c.write(ctx, state, s.steps(have, want), now)
	switch {
	case errors.Is(err, errBehind):
		return false, nil
	case errors.Is(err, errTaken):
		return false, errors.Join(err, c.updateNameTaken(ctx, placement, state, err))
	case apierrors.IsNotFound(err) && errors.Is(decision.Served(ctx, c.Hub.Discovery()), decision.ErrNotServed):
		return false, errors.Join(err, c.updateNotServed(ctx, placement, state))
	case err != nil:
		return false, err
	}
	return true, c.updateStatus(ctx, placement, state, groups)
}

// slicesOf returns the PlacementDecisions that a placement owns, as of the last event, in their
// order.
func (c *Controller) slicesOf(placement *v1alpha1.Placement) ([]*inventoryv1alpha1.PlacementDecision, error) {
	objs, err := c.Decisions.Informer().GetIndexer().ByIndex(byOwner, string(placement.UID))
	if err != nil {
		return nil, err
	}
	var have []*inventoryv1alpha1.PlacementDecision
	for _, obj := range objs {
		slice, ok := obj.(*inventoryv1alpha1.PlacementDecision)
		if ok && slice.Namespace == placement.Namespace && slice.DeletionTimestamp == nil {
			have = append(have, slice)
		}
	}
	return decision.Sorted(have), nil
}

// written is a slice as it was written. version is empty for one that was deleted.
type written struct {
	uid     types.UID
	version string
	at      time.Time
}

// unseen are slices that were written and are not in the cache yet, by name.
type unseen map[string]written

// isBehind returns whether the cache lacks a write.
func (c *Controller) isBehind(placement *v1alpha1.Placement, state *placementState, now time.Time) bool {
	lister := c.Decisions.Lister()
	for name, slice := range state.unseen {
		if have, err := lister.PlacementDecisions(placement.Namespace).Get(name); !slice.isIn(have, err) && now.Sub(slice.at) < unseenLimit {
			return true
		}
		delete(state.unseen, name)
	}
	return false
}

// isIn returns whether a cache with this slice, or this error, has the write.
func (w written) isIn(have *inventoryv1alpha1.PlacementDecision, err error) bool {
	if w.version == "" {
		return apierrors.IsNotFound(err) || err == nil && have.UID != w.uid
	}
	if err != nil {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(have.ResourceVersion, w.version)
	return err != nil || order >= 0
}

// write takes steps one after another.
func (c *Controller) write(ctx context.Context, state *placementState, todo []step, now time.Time) error {
	made := map[string]*inventoryv1alpha1.PlacementDecision{}
	for _, s := range todo {
		if s.want == nil && made[s.have.Name] != nil {
			// It was needed in between, for the steps before this one.
			s.have = made[s.have.Name]
		}
		slice, err := c.applyStep(ctx, s)
		if err != nil {
			return err
		}
		writes.Inc()
		if slice == nil {
			state.unseen[s.have.Name] = written{uid: s.have.UID, at: now}
			continue
		}
		made[slice.Name] = slice
		state.unseen[slice.Name] = written{uid: slice.UID, version: slice.ResourceVersion, at: now}
	}
	return nil
}

// applyStep writes one step, and returns the slice as it was written, nil for one that was deleted.
// A slice that differs from the cache is not changed.
func (c *Controller) applyStep(ctx context.Context, s step) (*inventoryv1alpha1.PlacementDecision, error) {
	switch {
	case s.want == nil:
		precondition := metav1.Preconditions{UID: &s.have.UID, ResourceVersion: &s.have.ResourceVersion}
		err := c.Inventory.ApisV1alpha1().PlacementDecisions(s.have.Namespace).
			Delete(ctx, s.have.Name, metav1.DeleteOptions{Preconditions: &precondition})
		return nil, behind(err)
	case s.have == nil:
		made, err := c.Inventory.ApisV1alpha1().PlacementDecisions(s.want.Namespace).Create(ctx, s.want, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil, c.explainTaken(ctx, s.want)
		}
		return made, err
	default:
		next := s.have.DeepCopy()
		next.Labels, next.Annotations = labels.Merge(next.Labels, s.want.Labels), labels.Merge(next.Annotations, s.want.Annotations)
		next.Decisions, next.SchedulerName = s.want.Decisions, s.want.SchedulerName
		updated, err := c.Inventory.ApisV1alpha1().PlacementDecisions(next.Namespace).Update(ctx, next, metav1.UpdateOptions{})
		return updated, behind(err)
	}
}

// behind returns errBehind if err says that a slice has changed, or is gone.
func behind(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return fmt.Errorf("%w: %w", errBehind, err)
	}
	return err
}

// errTaken says that a PlacementDecision with the name of a slice belongs to something else.
var errTaken = errors.New("it belongs to something else, and is left alone")

// explainTaken returns why a slice that was to be created exists: errTaken if it belongs to
// something else, errBehind if it is newer than the cache.
func (c *Controller) explainTaken(ctx context.Context, want *inventoryv1alpha1.PlacementDecision) error {
	have, err := c.Inventory.ApisV1alpha1().PlacementDecisions(want.Namespace).Get(ctx, want.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return errBehind
	}
	if err != nil {
		return err
	}
	if owner := metav1.GetControllerOfNoCopy(have); owner == nil || owner.UID != want.OwnerReferences[0].UID {
		return fmt.Errorf("PlacementDecision %s: %w", want.Name, errTaken)
	}
	return errBehind
}

const (
	// SchedulerName is the schedulerName of the PlacementDecisions.
	SchedulerName = "clusterpass"
	// maxSlice is how many clusters a PlacementDecision may have (KEP-5313).
	maxSlice = 100
)

// sliceName returns the name of a slice, by its index.
func sliceName(placement string, index int) string {
	return fmt.Sprintf("%s-decision-%d", placement, index+1)
}

// slicer makes the PlacementDecisions of a placement. They name the writer, unless that is unknown:
// so, a slice with the same content by another writer is written again.
type slicer struct {
	placement *v1alpha1.Placement
	writer    string
}

// divide returns the PlacementDecisions for groups of clusters, in their order, and what the status
// says of the groups.
func (s slicer) divide(groups []scheduling.Group) ([]*inventoryv1alpha1.PlacementDecision, []v1alpha1.DecisionGroupStatus) {
	var all []*inventoryv1alpha1.PlacementDecision
	var statuses []v1alpha1.DecisionGroupStatus
	for i, group := range groups {
		status := v1alpha1.DecisionGroupStatus{
			//nolint:gosec // a hub has no such number of objects
			DecisionGroupIndex: int32(i), DecisionGroupName: group.Name, ClusterCount: int32(len(group.Clusters)),
		}
		for clusters := range slices.Chunk(group.Clusters, maxSlice) {
			slice := s.newSlice(sliceName(s.placement.Name, len(all)), len(all), clusters)
			slice.Labels[v1alpha1.LabelDecisionGroupIndex] = strconv.Itoa(i)
			slice.Labels[v1alpha1.LabelDecisionGroupName] = group.Name
			status.Decisions = append(status.Decisions, slice.Name)
			all = append(all, slice)
		}
		statuses = append(statuses, status)
	}
	return all, statuses
}

func (s slicer) newSlice(name string, index int, clusters []types.NamespacedName) *inventoryv1alpha1.PlacementDecision {
	slice := &inventoryv1alpha1.PlacementDecision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.placement.Namespace, Name: name,
			Labels: map[string]string{
				inventoryv1alpha1.DecisionKeyLabel:   decision.Key(s.placement.Name),
				inventoryv1alpha1.DecisionIndexLabel: strconv.Itoa(index),
				// Workloads name the Placement by the label clusterpass.dev/placement.
				inventoryv1alpha1.PlacementKeyLabel: decision.Key(s.placement.Name),
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s.placement, decision.PlacementKind)},
		},
		Decisions:     []inventoryv1alpha1.ClusterDecision{},
		SchedulerName: SchedulerName,
	}
	if s.writer != "" {
		metav1.SetMetaDataAnnotation(&slice.ObjectMeta, v1alpha1.AnnotationDecisionWriter, s.writer)
	}
	for _, cluster := range clusters {
		slice.Decisions = append(slice.Decisions, inventoryv1alpha1.ClusterDecision{
			ClusterProfileRef: inventoryv1alpha1.ClusterProfileReference{Namespace: cluster.Namespace, Name: cluster.Name},
		})
	}
	return slice
}

// same returns whether two slices have the same content.
func same(have, want *inventoryv1alpha1.PlacementDecision) bool {
	return equality.Semantic.DeepEqual(have.Decisions, want.Decisions) && have.SchedulerName == want.SchedulerName &&
		labels.SelectorFromSet(want.Labels).Matches(labels.Set(have.Labels)) &&
		labels.SelectorFromSet(want.Annotations).Matches(labels.Set(have.Annotations))
}
