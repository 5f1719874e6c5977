// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/words"
)

// record is what the controller remembers of one credential until it restarts.
type record struct {
	// state is zero if the credential is to be reconciled before the status of its set is written.
	state state
	// written is the last write of the Secret.
	written written
	// deselected is since when decisions do not name the cluster, although it has a credential; zero
	// if they do.
	deselected time.Time
}

// state is the state of one credential.
type state struct {
	v1alpha1.CredentialStatus
	// generation is that of the set.
	generation int64
	// due is when the next credential is made, zero if that is not known.
	due time.Time
}

// written is a write of a Secret.
type written struct {
	uid     types.UID
	version string
	at      time.Time
	// awaited says that the cache may lack it.
	awaited bool
}

// record returns the record of a credential, for a caller that holds c.mu.
func (c *Controller) record(set *v1alpha1.ClusterCredentialSet, cluster string) *record {
	if c.records[set.UID] == nil {
		c.records[set.UID] = map[string]*record{}
	}
	of := c.records[set.UID]
	if of[cluster] == nil {
		of[cluster] = &record{}
	}
	return of[cluster]
}

// forget drops the records of a set for clusters, and their backoff.
func (c *Controller) forget(set *v1alpha1.ClusterCredentialSet, clusters ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cluster := range clusters {
		delete(c.records[set.UID], cluster)
		key := credentialKey{cache.MetaObjectToName(set), cluster}
		c.refusals.Forget(key)
		c.credentialQueue.Forget(key)
	}
	if len(c.records[set.UID]) == 0 {
		delete(c.records, set.UID)
	}
}

// recorded returns the clusters of a set that have a record.
func (c *Controller) recorded(set *v1alpha1.ClusterCredentialSet) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.records[set.UID]))
}

// ready is the state of a credential that is valid, in a Secret.
func ready(secret *corev1.Secret, set *v1alpha1.ClusterCredentialSet, due time.Time) state {
	return state{v1alpha1.CredentialStatus{
		UID: types.UID(secret.Annotations[annotationClusterUID]), SecretName: secret.Name, GrantName: secret.Annotations[annotationGrant],
		Ready: true,
	}, set.Generation, due.Truncate(time.Second)}
}

// failed is the state of a credential that could not be made or renewed. It is still ready if the
// Secret has one with the same inputs that is neither expired nor revoked.
func (c *Controller) failed(secret *corev1.Secret, want *wanted, err error) state {
	s := state{v1alpha1.CredentialStatus{
		UID: want.profile.UID, SecretName: want.name().Name,
		Reason: cmp.Or(string(apierrors.ReasonForError(err)), "Failed"), Message: words.Message(err.Error()),
	}, want.set.Generation, time.Time{}}
	if secret == nil || !credentialset.Owns(want.set, secret) || secret.Annotations[annotationSecretInputs] != want.secretInputs() {
		return s
	}
	_, expires := times(secret)
	s.GrantName = secret.Annotations[annotationGrant]
	s.Ready = expires.After(c.Clock.Now()) && c.hasGrant(want.set, s.GrantName)
	return s
}

// setState stores the state of a credential, and enqueues the set to update its status.
func (c *Controller) setState(want *wanted, next state) {
	next.ClusterProfile = want.profile.Name
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.record(want.set, want.profile.Name); r.state != next {
		r.state = next
		c.setQueue.AddAfter(cache.MetaObjectToName(want.set), statusDelay)
	}
}

// dropState drops the state of a credential whose cluster is not selected: it is reconciled again
// when the cluster is.
func (c *Controller) dropState(set *v1alpha1.ClusterCredentialSet, cluster string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.records[set.UID][cluster]; r != nil {
		r.state = state{}
		if *r == (record{}) {
			delete(c.records[set.UID], cluster)
		}
	}
}

// knows returns whether a credential has a state of this generation.
func (c *Controller) knows(set *v1alpha1.ClusterCredentialSet, cluster string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.records[set.UID][cluster]
	return r != nil && r.state.ClusterProfile != "" && r.state.generation == set.Generation
}

// wrote records that a Secret was written.
func (c *Controller) wrote(want *wanted, secret *corev1.Secret) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record(want.set, want.profile.Name).written = written{secret.UID, secret.ResourceVersion, c.Clock.Now(), true}
}

// isBehind returns whether secret, of the cache, is older than the last write: to use it would mint
// twice.
func (c *Controller) isBehind(want *wanted, secret *corev1.Secret) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := &c.record(want.set, want.profile.Name).written
	if last.awaited && secret != nil {
		order, err := resourceversion.CompareResourceVersion(secret.ResourceVersion, last.version)
		last.awaited = secret.UID == last.uid && err == nil && order < 0
	}
	last.awaited = last.awaited && c.Clock.Since(last.at) <= writeLag
	return last.awaited
}

// pause returns how long a repair waits: another controller may fight for the same field.
func (c *Controller) pause(want *wanted, what action) time.Duration {
	if what != repair {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, c.record(want.set, want.profile.Name).written.at.Add(repairPause).Sub(c.Clock.Now()))
}
