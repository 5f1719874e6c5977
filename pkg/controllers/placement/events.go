// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package placement

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
	"clusterpass.dev/pkg/decision"
	"clusterpass.dev/pkg/scheduling"
)

func (c *Controller) watch() error {
	for _, w := range []struct {
		what     string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"Placements", c.Placements.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.placementChanged, UpdateFunc: c.placementUpdated, DeleteFunc: c.placementChanged,
		}},
		{"ClusterProfiles", c.Profiles.Informer(), loop.Always(c.profileChanged)},
		{"ClusterScores", c.Scores.Informer(), loop.Always(c.scoreChanged)},
		{"PlacementDecisions", c.Decisions.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.decisionChanged, UpdateFunc: c.decisionUpdated, DeleteFunc: c.decisionChanged,
		}},
		{"Namespaces", c.Namespaces.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.namespaceChanged, UpdateFunc: c.namespaceUpdated, DeleteFunc: c.namespaceChanged,
		}},
	} {
		synced, err := loop.AddHandler(w.what, w.informer, w.handler)
		if err != nil {
			return err
		}
		c.synced = append(c.synced, synced)
	}
	return nil
}

func (c *Controller) placementChanged(obj any) {
	if placement, ok := loop.Object[*v1alpha1.Placement](obj); ok {
		c.enqueue(cache.MetaObjectToName(placement))
	}
}

// placementUpdated ignores the controller's own writes of the status.
func (c *Controller) placementUpdated(oldObj, obj any) {
	old, wasPlacement := loop.Object[*v1alpha1.Placement](oldObj)
	placement, isPlacement := loop.Object[*v1alpha1.Placement](obj)
	if !wasPlacement || !isPlacement || old.UID != placement.UID || old.Generation != placement.Generation ||
		old.DeletionTimestamp.IsZero() != placement.DeletionTimestamp.IsZero() {
		c.placementChanged(obj)
	}
}

// enqueue enqueues a placement for a review of its author and a pass.
func (c *Controller) enqueue(name cache.ObjectName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state := c.states[name]; state != nil {
		state.fromEvents.pass, state.fromEvents.review = true, true
	}
	c.queue.Add(name)
}

// profileOf returns the index key of a ClusterScore: its ClusterProfile.
func profileOf(obj any) ([]string, error) {
	score, ok := obj.(*v1alpha1.ClusterScore)
	if !ok {
		return nil, nil
	}
	return []string{score.Namespace + "/" + score.Spec.ClusterProfileName}, nil
}

func (c *Controller) profileChanged(obj any) {
	if profile, ok := loop.Object[*inventoryv1alpha1.ClusterProfile](obj); ok {
		c.clusterChanged(types.NamespacedName{Namespace: profile.Namespace, Name: profile.Name})
	}
}

func (c *Controller) scoreChanged(obj any) {
	if score, ok := loop.Object[*v1alpha1.ClusterScore](obj); ok {
		c.clusterChanged(types.NamespacedName{Namespace: score.Namespace, Name: score.Spec.ClusterProfileName})
	}
}

// clusterChanged updates a cluster in the fleet, and enqueues the placements that the change
// affects.
func (c *Controller) clusterChanged(name types.NamespacedName) {
	change, err := c.feed(name)
	if err != nil {
		utilruntime.HandleError(fmt.Errorf("cluster %s: %w", name, err))
	}
	if change == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, state := range c.states {
		if state.policy != nil && state.policy.AffectedBy(change) {
			state.fromEvents.pass = true
			c.queue.Add(name)
		}
	}
}

// feed updates a cluster in the fleet. It returns the change, or nil if no placement can decide
// differently because of it.
func (c *Controller) feed(name types.NamespacedName) (*scheduling.Change, error) {
	profile, err := c.Profiles.Lister().ClusterProfiles(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		return c.fleet.Delete(name), nil
	}
	if err != nil {
		return nil, err
	}
	found, err := c.Scores.Informer().GetIndexer().ByIndex(byProfile, name.String())
	if err != nil {
		return nil, err
	}
	var scores []*v1alpha1.ClusterScore
	for _, obj := range found {
		if score, ok := obj.(*v1alpha1.ClusterScore); ok {
			scores = append(scores, score)
		}
	}
	return c.fleet.Feed(profile, scores, c.Clock.Now())
}

// ownerOf returns the index key of a PlacementDecision: the UID of its Placement.
func ownerOf(obj any) ([]string, error) {
	slice, ok := obj.(*inventoryv1alpha1.PlacementDecision)
	if !ok {
		return nil, nil
	}
	if owner := decision.OwnerOf(slice); owner != nil {
		return []string{string(owner.UID)}, nil
	}
	return nil, nil
}

// decisionUpdated handles both the old and the new owner of a slice.
func (c *Controller) decisionUpdated(old, obj any) {
	c.decisionChanged(old)
	c.decisionChanged(obj)
}

// decisionChanged enqueues the placement of a slice, to compare its slices with its decision. This
// needs no pass.
func (c *Controller) decisionChanged(obj any) {
	slice, ok := loop.Object[*inventoryv1alpha1.PlacementDecision](obj)
	if !ok {
		return
	}
	owner := decision.OwnerOf(slice)
	if owner == nil {
		return
	}
	name := cache.NewObjectName(slice.Namespace, owner.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if state := c.states[name]; state != nil {
		state.fromEvents.slices = true
		c.queue.Add(name)
	}
}

func (c *Controller) namespaceUpdated(oldObj, obj any) {
	old, wasNamespace := loop.Object[*corev1.Namespace](oldObj)
	namespace, isNamespace := loop.Object[*corev1.Namespace](obj)
	if wasNamespace && isNamespace && scheduling.ClusterSetOf(old) != scheduling.ClusterSetOf(namespace) {
		c.namespaceChanged(obj)
	}
}

// namespaceChanged enqueues all placements that name cluster sets: their namespaces may have
// changed.
func (c *Controller) namespaceChanged(any) {
	all, err := c.Placements.Lister().List(labels.Everything())
	if err != nil {
		utilruntime.HandleError(err)
	}
	for _, placement := range all {
		if len(placement.Spec.ClusterSets) > 0 {
			c.enqueue(cache.MetaObjectToName(placement))
		}
	}
}
