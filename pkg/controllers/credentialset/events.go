// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/grant"
)

// watch registers with the informers that always run.
func (c *Controller) watch() error {
	for _, w := range []struct {
		what     string
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{"ClusterCredentialSets", c.Sets.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.setChanged, UpdateFunc: c.setUpdated, DeleteFunc: c.setDeleted,
		}},
		{"ClusterProfiles", c.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.profileChanged, UpdateFunc: c.profileUpdated, DeleteFunc: c.profileChanged,
		}},
		{"AuthTokenGrants", c.Grants.Informer(), cache.ResourceEventHandlerFuncs{
			UpdateFunc: func(_, obj any) { c.grantChanged(obj) }, DeleteFunc: c.grantChanged,
		}},
		{"Placements", c.Placements.Informer(), cache.ResourceEventHandlerFuncs{AddFunc: c.placementChanged, DeleteFunc: c.placementChanged}},
	} {
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			return fmt.Errorf("watching %s: %w", w.what, err)
		}
		c.synced = append(c.synced, registration.HasSynced)
	}
	return c.OnLeaving(c.memberChanged)
}

// about returns what an event is about as a T, also of one that was missed.
func about[T any](obj any) (T, bool) {
	if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = tombstone.Obj
	}
	of, ok := obj.(T)
	return of, ok
}

// setChanged has all credentials of a set looked at.
func (c *Controller) setChanged(obj any) {
	set, ok := about[*v1alpha1.ClusterCredentialSet](obj)
	if !ok {
		return
	}
	name := cache.MetaObjectToName(set)
	for _, cluster := range c.clusters(set.UID) {
		c.credentialQueue.Add(credentialKey{name, cluster})
	}
	c.setQueue.Add(name)
}

// setUpdated leaves out what the controller itself has written: the status.
func (c *Controller) setUpdated(oldObj, obj any) {
	old, wasSet := about[*v1alpha1.ClusterCredentialSet](oldObj)
	set, isSet := about[*v1alpha1.ClusterCredentialSet](obj)
	if wasSet && isSet && old.UID == set.UID && old.Generation == set.Generation && old.DeletionTimestamp.IsZero() == set.DeletionTimestamp.IsZero() &&
		old.Annotations[v1alpha1.AnnotationRotate] == set.Annotations[v1alpha1.AnnotationRotate] {
		c.setQueue.Add(cache.MetaObjectToName(set))
		return
	}
	c.setChanged(obj)
}

func (c *Controller) setDeleted(obj any) {
	if set, ok := about[*v1alpha1.ClusterCredentialSet](obj); ok {
		c.forget(set)
	}
}

// profileUpdated leaves out what makes no difference to any credential: how the member is.
func (c *Controller) profileUpdated(oldObj, obj any) {
	old, wasProfile := about[*inventoryv1alpha1.ClusterProfile](oldObj)
	profile, isProfile := about[*inventoryv1alpha1.ClusterProfile](obj)
	if !wasProfile || !isProfile {
		return
	}
	if old.UID != profile.UID || !equality.Semantic.DeepEqual(old.Labels, profile.Labels) ||
		old.DeletionTimestamp.IsZero() != profile.DeletionTimestamp.IsZero() || old.Spec.DisplayName != profile.Spec.DisplayName ||
		!equality.Semantic.DeepEqual(old.Status.AccessProviders, profile.Status.AccessProviders) {
		c.profileChanged(profile)
	}
}

// profileChanged has the sets that select from its namespace compared, and its own credentials looked at.
func (c *Controller) profileChanged(obj any) {
	profile, ok := about[*inventoryv1alpha1.ClusterProfile](obj)
	if !ok {
		return
	}
	c.memberChanged(cache.MetaObjectToName(profile))
}

// memberChanged is profileChanged by name.
func (c *Controller) memberChanged(profile cache.ObjectName) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if credentialset.ProfileNamespace(set) != profile.Namespace {
			return
		}
		name := cache.MetaObjectToName(set)
		if c.knows(set, profile.Name) {
			c.credentialQueue.Add(credentialKey{name, profile.Name})
		}
		c.setQueue.Add(name)
	})
}

// decisionChanged has the sets compared that go by decisions of its namespace.
func (c *Controller) decisionChanged(obj any) {
	if decision, ok := about[*inventoryv1alpha1.PlacementDecision](obj); ok {
		c.decisionsChanged(decision.Namespace)
	}
}

// placementChanged has the sets compared whose decisions may be those of a Placement that has come or gone.
func (c *Controller) placementChanged(obj any) {
	if placement, ok := about[*v1alpha1.Placement](obj); ok {
		c.decisionsChanged(placement.Namespace)
	}
}

func (c *Controller) decisionsChanged(namespace string) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.Spec.Clusters.DecisionKey != "" && set.Namespace == namespace {
			c.setQueue.Add(cache.MetaObjectToName(set))
		}
	})
}

// grantChanged has a credential looked at whose grant is being revoked.
func (c *Controller) grantChanged(obj any) {
	g, ok := about[*v1alpha1.AuthTokenGrant](obj)
	if !ok {
		return
	}
	of := grant.SetOf(g)
	if of == "" {
		return
	}
	if _, err := c.grants.AuthTokenGrants(g.Namespace).Get(g.Name); err == nil && g.DeletionTimestamp == nil {
		return
	}
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.UID == of {
			c.credentialQueue.Add(credentialKey{cache.MetaObjectToName(set), g.Spec.ClusterProfile.Name})
		}
	})
}

// secretChanged has the credential of a Secret looked at, and the sets that it may be in conflict with. old is nil for one that has
// come or gone.
func (c *Controller) secretChanged(old, obj any) {
	secret, ok := about[*corev1.Secret](obj)
	if !ok {
		return
	}
	was := [2]string{}
	if old, ok := about[*corev1.Secret](old); ok {
		was = argoCDIdentity(old)
	}
	if argoCDIdentity(secret) != was {
		c.conflictsChanged(secret)
	}
	uid := types.UID(secret.Labels[v1alpha1.LabelCredentialSetUID])
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.UID == uid {
			c.credentialQueue.Add(credentialKey{cache.MetaObjectToName(set), secret.Annotations[annotationCluster]})
		}
	})
}

func (c *Controller) forEachSet(do func(set *v1alpha1.ClusterCredentialSet)) {
	all, err := c.sets.List(labels.Everything())
	if err != nil {
		return
	}
	for _, set := range all {
		do(set)
	}
}
