// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
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
		handler  cache.ResourceEventHandlerFuncs
	}{
		{"ClusterCredentialSets", c.Sets.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: loop.Typed(c.setChanged), UpdateFunc: typedUpdate(c.setUpdated), DeleteFunc: loop.Typed(c.setDeleted),
		}},
		{"ClusterProfiles", c.Profiles.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: loop.Typed(c.profileChanged), UpdateFunc: typedUpdate(c.profileUpdated), DeleteFunc: loop.Typed(c.profileChanged),
		}},
		{"AuthTokenGrants", c.Grants.Informer(), cache.ResourceEventHandlerFuncs{
			UpdateFunc: typedUpdate(func(_, g *v1alpha1.AuthTokenGrant) { c.grantChanged(g) }), DeleteFunc: loop.Typed(c.grantChanged),
		}},
		{"Placements", c.Placements.Informer(), cache.ResourceEventHandlerFuncs{
			AddFunc: loop.Typed(c.decisionsChanged), UpdateFunc: typedUpdate(c.placementUpdated), DeleteFunc: loop.Typed(c.decisionsChanged),
		}},
	} {
		synced, err := loop.AddHandler(w.what, w.informer, w.handler)
		if err != nil {
			return err
		}
		c.synced = append(c.synced, synced)
	}
	return c.OnChange(c.accessChanged)
}

// typedUpdate is loop.Typed for updates.
func typedUpdate[T any](handle func(old, object T)) func(oldObj, obj any) {
	return func(oldObj, obj any) {
		old, wasT := oldObj.(T)
		object, isT := obj.(T)
		if wasT && isT {
			handle(old, object)
		}
	}
}

// setChanged enqueues a set and all of its credentials.
func (c *Controller) setChanged(set *v1alpha1.ClusterCredentialSet) {
	name := cache.MetaObjectToName(set)
	for _, cluster := range c.recorded(set) {
		c.credentialQueue.Add(credentialKey{name, cluster})
	}
	c.setQueue.Add(name)
}

// setUpdated ignores the controller's own writes of the status.
func (c *Controller) setUpdated(old, set *v1alpha1.ClusterCredentialSet) {
	if old.UID == set.UID && old.Generation == set.Generation &&
		old.DeletionTimestamp.IsZero() == set.DeletionTimestamp.IsZero() &&
		old.Annotations[v1alpha1.AnnotationRotate] == set.Annotations[v1alpha1.AnnotationRotate] {
		c.setQueue.Add(cache.MetaObjectToName(set))
		return
	}
	c.setChanged(set)
}

func (c *Controller) setDeleted(set *v1alpha1.ClusterCredentialSet) {
	c.limits.drop(set)
	c.forget(set, c.recorded(set)...)
}

// profileUpdated ignores changes that make no difference to a credential, such as the health of the
// member.
func (c *Controller) profileUpdated(old, profile *inventoryv1alpha1.ClusterProfile) {
	if old.UID != profile.UID || !equality.Semantic.DeepEqual(old.Labels, profile.Labels) ||
		old.DeletionTimestamp.IsZero() != profile.DeletionTimestamp.IsZero() || old.Spec.DisplayName != profile.Spec.DisplayName ||
		!equality.Semantic.DeepEqual(old.Status.AccessProviders, profile.Status.AccessProviders) {
		c.profileChanged(profile)
	}
}

func (c *Controller) profileChanged(profile *inventoryv1alpha1.ClusterProfile) {
	c.memberChanged(cache.MetaObjectToName(profile))
}

// memberChanged enqueues the sets that select from the namespace of a ClusterProfile, and its
// credentials.
func (c *Controller) memberChanged(profile cache.ObjectName) {
	c.noteLeaving(profile)
	c.enqueueMember(profile, true)
}

// accessChanged enqueues the credentials for a member whose access has changed. What sets select
// changes only if the member begins to leave the hub, or stays after all: the hub's own credential
// is renewed for one member after another all the time.
func (c *Controller) accessChanged(profile cache.ObjectName) {
	c.enqueueMember(profile, c.noteLeaving(profile))
}

func (c *Controller) enqueueMember(profile cache.ObjectName, selection bool) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if credentialset.ProfileNamespace(set) != profile.Namespace {
			return
		}
		name := cache.MetaObjectToName(set)
		if c.knows(set, profile.Name) {
			c.credentialQueue.Add(credentialKey{name, profile.Name})
		}
		if selection {
			c.setQueue.Add(name)
		}
	})
}

// noteLeaving notes whether a member is leaving the hub, and returns whether that is news.
func (c *Controller) noteLeaving(name cache.ObjectName) bool {
	c.leavingMu.Lock()
	defer c.leavingMu.Unlock()
	profile, err := c.profiles.ClusterProfiles(name.Namespace).Get(name.Name)
	leaves, left := err == nil && c.Members.CachedLeaving(profile) != nil, c.leaving.Has(name)
	if leaves {
		c.leaving.Insert(name)
	} else {
		c.leaving.Delete(name)
	}
	return leaves != left
}

// decisionsChanged enqueues the sets that may select by a PlacementDecision that has changed, or by
// the decisions of a Placement that was created or deleted.
func (c *Controller) decisionsChanged(object metav1.Object) {
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.Spec.Clusters.DecisionKey != "" && set.Namespace == object.GetNamespace() {
			c.setQueue.Add(cache.MetaObjectToName(set))
		}
	})
}

// placementUpdated is decisionsChanged for a Placement whose deletion has begun.
func (c *Controller) placementUpdated(old, placement *v1alpha1.Placement) {
	if old.DeletionTimestamp == nil && placement.DeletionTimestamp != nil {
		c.decisionsChanged(placement)
	}
}

// grantChanged enqueues the credential of a grant that is being revoked. One that never had a token
// is taken back by the request that has made it, which has failed and is tried again with backoff.
func (c *Controller) grantChanged(g *v1alpha1.AuthTokenGrant) {
	_, err := c.grants.AuthTokenGrants(g.Namespace).Get(g.Name)
	if hadToken := g.Status.ExpirationCeiling != nil; hadToken && (err != nil || g.DeletionTimestamp != nil) {
		c.enqueueCredential(grant.SetOf(g), g.Spec.ClusterProfile.Name)
	}
}

// secretChanged enqueues the credential of a Secret, and the sets whose Secrets may conflict with
// it if it has changed what it gives Argo CD. old is empty if it was created or deleted.
func (c *Controller) secretChanged(old, secret *corev1.Secret) {
	if old.Annotations[annotationServer] != secret.Annotations[annotationServer] ||
		old.Annotations[annotationName] != secret.Annotations[annotationName] {
		c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
			if set.Spec.Secret.Format == v1alpha1.SecretFormatArgoCD && secretNamespace(set) == secret.Namespace {
				c.setQueue.AddAfter(cache.MetaObjectToName(set), statusDelay)
			}
		})
	}
	c.enqueueCredential(types.UID(secret.Labels[v1alpha1.LabelCredentialSetUID]), secret.Annotations[annotationCluster])
}

// enqueueCredential enqueues a credential of the set with a UID.
func (c *Controller) enqueueCredential(uid types.UID, cluster string) {
	if set := c.setOf(uid); set != nil {
		c.credentialQueue.Add(credentialKey{cache.MetaObjectToName(set), cluster})
	}
}

// setOf returns the set with a UID, nil if there is none. An empty UID, which the grants of users
// have, is none's.
func (c *Controller) setOf(uid types.UID) (found *v1alpha1.ClusterCredentialSet) {
	if uid == "" {
		return nil
	}
	c.forEachSet(func(set *v1alpha1.ClusterCredentialSet) {
		if set.UID == uid {
			found = set
		}
	})
	return found
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
