// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/loop"
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
		{"Placements", c.Placements.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: c.placementChanged, UpdateFunc: c.placementUpdated, DeleteFunc: c.placementChanged,
		}},
	} {
		synced, err := loop.AddHandler(w.what, w.informer, w.handler)
		if err != nil {
			return err
		}
		c.synced = append(c.synced, synced)
	}
	return c.OnLeaving(c.memberChanged)
}

// setChanged enqueues a set and all of its credentials.
func (c *Controller) setChanged(obj any) {
	set, ok := loop.Object[*v1alpha1.ClusterCredentialSet](obj)
	if !ok {
		return
	}
	name := cache.MetaObjectToName(set)
	for _, cluster := range c.clusters(set.UID) {
		c.credentialQueue.Add(credentialKey{name, cluster})
	}
	c.setQueue.Add(name)
}

// setUpdated ignores the controller's own writes of the status.
func (c *Controller) setUpdated(oldObj, obj any) {
	old, wasSet := loop.Object[*v1alpha1.ClusterCredentialSet](oldObj)
	set, isSet := loop.Object[*v1alpha1.ClusterCredentialSet](obj)
	if wasSet && isSet && old.UID == set.UID && old.Generation == set.Generation &&
		old.DeletionTimestamp.IsZero() == set.DeletionTimestamp.IsZero() &&
		old.Annotations[v1alpha1.AnnotationRotate] == set.Annotations[v1alpha1.AnnotationRotate] {
		c.setQueue.Add(cache.MetaObjectToName(set))
		return
	}
	c.setChanged(obj)
}

func (c *Controller) setDeleted(obj any) {
	if set, ok := loop.Object[*v1alpha1.ClusterCredentialSet](obj); ok {
		c.forget(set)
	}
}

// profileUpdated ignores changes that make no difference to a credential, such as the health of the
// member.
func (c *Controller) profileUpdated(oldObj, obj any) {
	old, wasProfile := loop.Object[*inventoryv1alpha1.ClusterProfile](oldObj)
	profile, isProfile := loop.Object[*inventoryv1alpha1.ClusterProfile](obj)
	if !wasProfile || !isProfile {
		return
	}
	if old.UID != profile.UID || !equality.Semantic.DeepEqual(old.Labels, profile.Labels) ||
		old.DeletionTimestamp.IsZero() != profile.DeletionTimestamp.IsZero() || old.Spec.DisplayName != profile.Spec.DisplayName ||
		!equality.Semantic.DeepEqual(old.Status.AccessProviders, profile.Status.AccessProviders) {
		c.profileChanged(profile)
	}
}

// profileChanged enqueues the sets that select from the namespace of a ClusterProfile, and its
// credentials.
func (c *Controller) profileChanged(obj any) {
	profile, ok := loop.Object[*inventoryv1alpha1.ClusterProfile](obj)
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

// decisionChanged enqueues the sets that select by decisions of its namespace.
func (c *Controller) decisionChanged(obj any) {
	if decision, ok := loop.Object[*inventoryv1alpha1.PlacementDecision](obj); ok {
		c.decisionsChanged(decision.Namespace)
	}
}

// placementChanged enqueues the sets that may select by decisions of a Placement that was created
// or deleted.
func (c *Controller) placementChanged(obj any) {
	if placement, ok := loop.Object[*v1alpha1.Placement](obj); ok {
		c.decisionsChanged(placement.Namespace)
	}
}

// placementUpdated is placementChanged for a Placement whose deletion has begun.
func (c *Controller) placementUpdated(oldObj, obj any) {
	old, ok := oldObj.(*v1alpha1.Placement)
	placement, isPlacement := obj.(*v1alpha1.Placement)
	if ok && isPlacement && old.DeletionTimestamp == nil && placement.DeletionTimestamp != nil {
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

// grantChanged enqueues the credential of a grant that is being revoked. One that never had a token
// is taken back by the request that has made it, which has failed and is tried again with backoff.
func (c *Controller) grantChanged(obj any) {
	g, ok := loop.Object[*v1alpha1.AuthTokenGrant](obj)
	if !ok {
		return
	}
	of := grant.SetOf(g)
	if of == "" || g.Status.ExpirationCeiling == nil {
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

// secretChanged enqueues the credential of a Secret, and the sets that it may conflict with. old is
// nil for one that was created or deleted.
func (c *Controller) secretChanged(old, obj any) {
	secret, ok := loop.Object[*corev1.Secret](obj)
	if !ok {
		return
	}
	was := [2]string{}
	if old, ok := loop.Object[*corev1.Secret](old); ok {
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

// failingShare: while others wait, one in failingShare credentials is one that has failed.
const failingShare = 8

// newCredentialQueue returns the queue of credentials. Credentials that have failed come after all
// others: sets that cannot get a token must not delay renewals. Namespaces take turns, and so do
// the sets of each namespace.
func newCredentialQueue(
	limiter workqueue.TypedRateLimiter[credentialKey], failing func(credentialKey) bool, clock clock.WithTicker,
) workqueue.TypedRateLimitingInterface[credentialKey] {
	return loop.NewOrderedQueue("credential", clock, limiter, &lanes{failing: failing, first: newTurns(), later: newTurns()})
}

// lanes is the order of a queue of credentials. The queue locks it.
type lanes struct {
	// failing returns whether the last attempt for a credential failed.
	failing func(credentialKey) bool
	// first has credentials that have not failed. later has the others.
	first, later *loop.Turns[credentialKey]
	popped       int
}

var _ workqueue.Queue[credentialKey] = (*lanes)(nil)

// Touch implements workqueue.Queue.
func (*lanes) Touch(credentialKey) {}

// Push implements workqueue.Queue.
func (l *lanes) Push(key credentialKey) {
	if l.failing(key) {
		l.later.Push(key)
	} else {
		l.first.Push(key)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return l.first.Len() + l.later.Len() }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() credentialKey {
	l.popped++
	if l.first.Len() == 0 || l.later.Len() > 0 && l.popped%failingShare == 0 {
		return l.later.Pop()
	}
	return l.first.Pop()
}

// newTurns returns a queue in which namespaces take turns, and the sets within each namespace.
func newTurns() *loop.Turns[credentialKey] {
	return loop.NewTurns(
		func(key credentialKey) string { return key.set.Namespace },
		func(key credentialKey) string { return key.set.Name },
	)
}
