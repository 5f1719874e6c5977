// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/words"
)

// maxLetGo bounds the clusters that a message names because they leave the hub.
const maxLetGo = 5

// maxWriter bounds a username in a message, in bytes.
const maxWriter = 100

// state is the state of one credential.
type state struct {
	v1alpha1.CredentialStatus
	// generation is that of the set.
	generation int64
	// due is when the next credential is made, zero if that is not known.
	due time.Time
}

// ready is the state of a credential that is valid, in a Secret.
func ready(secret *corev1.Secret, set *v1alpha1.ClusterCredentialSet, due time.Time) state {
	return state{v1alpha1.CredentialStatus{
		UID: types.UID(secret.Annotations[annotationClusterUID]), SecretName: secret.Name, GrantName: secret.Annotations[annotationGrant],
		Ready: true,
	}, set.Generation, due.Truncate(time.Second)}
}

// failed is the state of a credential that could not be made or renewed. It is still ready if the
// Secret has one for the same purpose that is neither expired nor revoked.
func (c *Controller) failed(secret *corev1.Secret, want *wanted, err error) state {
	s := state{v1alpha1.CredentialStatus{
		UID: want.profile.UID, SecretName: want.name().Name,
		Reason: cmp.Or(string(apierrors.ReasonForError(err)), "Failed"), Message: words.Message(err.Error()),
	}, want.set.Generation, time.Time{}}
	if secret == nil || !isOf(secret, want.set.UID) || secret.Annotations[annotationFor] != want.purpose() {
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
	of := c.states[want.set.UID]
	if of == nil {
		of = map[string]state{}
		c.states[want.set.UID] = of
	}
	if was, ok := of[next.ClusterProfile]; !ok || was != next {
		of[next.ClusterProfile] = next
		c.setQueue.AddAfter(cache.MetaObjectToName(want.set), statusDelay)
	}
}

// knows returns whether a credential has a state of this generation.
func (c *Controller) knows(set *v1alpha1.ClusterCredentialSet, cluster string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.states[set.UID][cluster]
	return ok && known.generation == set.Generation
}

// clusters returns those with a state.
func (c *Controller) clusters(set types.UID) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.states[set]))
}

// dropState drops the state of a credential whose cluster is not selected: it is reconciled again
// when the cluster is.
func (c *Controller) dropState(set *v1alpha1.ClusterCredentialSet, cluster string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.states[set.UID], cluster)
}

// forget drops everything about the credentials of a set for clusters, for all of them if none is
// named.
func (c *Controller) forget(set *v1alpha1.ClusterCredentialSet, clusters ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(clusters) == 0 {
		clusters = slices.Collect(maps.Keys(c.states[set.UID]))
		defer delete(c.states, set.UID)
		c.limits.drop(set)
		maps.DeleteFunc(c.undecided, func(key credentialKey, _ time.Time) bool { return key.set == cache.MetaObjectToName(set) })
	}
	for _, cluster := range clusters {
		key := credentialKey{cache.MetaObjectToName(set), cluster}
		delete(c.states[set.UID], cluster)
		delete(c.writes, key)
		delete(c.undecided, key)
		c.refusals.Forget(key)
		c.credentialQueue.Forget(key)
	}
}

// updateStatus writes the status of a set, with the condition of its consumer if it has one, if
// that changes it.
func (c *Controller) updateStatus(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, chosen *chosen, consumer *metav1.Condition,
) error {
	selected := chosen.clusters
	next := set.DeepCopy()
	next.Status.ObservedGeneration = set.Generation
	next.Status.Selected = int32(len(selected)) //nolint:gosec // a hub has no such number of objects
	next.Status.Ready = 0
	next.Status.NextRotation = c.nextRotation(set, selected)
	credentials := c.known(set, selected)
	first := ""
	for i := range credentials {
		if credentials[i].Ready {
			next.Status.Ready++
		}
		if first == "" && credentials[i].Message != "" {
			first = credentials[i].ClusterProfile + ": " + credentials[i].Message
		}
	}
	next.Status.Credentials = credentials[:min(len(credentials), v1alpha1.MaxListedCredentials)]
	if err := c.setReady(ctx, next, condition(next, first), chosen); err != nil {
		return err
	}
	setOptional(next, v1alpha1.MultiKueueReady, consumer)
	c.setAnyDecisionWriter(next)
	c.setAuthorConditions(set, next)
	conflict, err := c.conflict(set)
	if err != nil {
		return err
	}
	setOptional(next, v1alpha1.CredentialSetConflict, conflict)
	return c.writeStatus(ctx, set, next)
}

// nextRotation returns when the first credential of the selected clusters is due, nil if none is.
func (c *Controller) nextRotation(set *v1alpha1.ClusterCredentialSet, selected selection) *metav1.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first time.Time
	for cluster := range selected {
		if due := c.states[set.UID][cluster].due; !due.IsZero() && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	if first.IsZero() {
		return nil
	}
	return &metav1.Time{Time: first}
}

// known returns the states of the credentials of the selected clusters: those that are not ready
// first, then those that were not renewed, then the others; each by name.
func (c *Controller) known(set *v1alpha1.ClusterCredentialSet, selected selection) []v1alpha1.CredentialStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	credentials := make([]v1alpha1.CredentialStatus, 0, len(selected))
	for cluster := range selected {
		credentials = append(credentials, c.states[set.UID][cluster].CredentialStatus)
	}
	rank := func(s v1alpha1.CredentialStatus) int {
		switch {
		case !s.Ready:
			return 0
		case s.Reason != "":
			return 1
		}
		return 2
	}
	slices.SortFunc(credentials, func(a, b v1alpha1.CredentialStatus) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ClusterProfile, b.ClusterProfile))
	})
	return credentials
}

func condition(set *v1alpha1.ClusterCredentialSet, first string) metav1.Condition {
	ready := metav1.Condition{
		Type: v1alpha1.CredentialSetReady, Status: metav1.ConditionFalse, ObservedGeneration: set.Generation,
		Reason:  v1alpha1.CredentialSetReasonNotReady,
		Message: fmt.Sprintf("%d of %d clusters have a credential; %s", set.Status.Ready, set.Status.Selected, first),
	}
	switch {
	case set.Status.Selected == 0:
		ready.Reason, ready.Message = v1alpha1.CredentialSetReasonNoClusters, "no ClusterProfile is selected"
	case set.Status.Ready < set.Status.Selected:
	case first != "":
		ready.Status, ready.Reason, ready.Message = metav1.ConditionTrue, v1alpha1.CredentialSetReasonNotRenewed,
			"some credentials are valid but were not renewed; "+first
	default:
		ready.Status, ready.Reason = metav1.ConditionTrue, v1alpha1.CredentialSetReasonReady
		ready.Message = "each selected cluster has a credential"
	}
	return ready
}

// setReady sets the condition Ready in the status of a set, and adds to its message what else there
// is to say of the selection.
func (c *Controller) setReady(ctx context.Context, set *v1alpha1.ClusterCredentialSet, ready metav1.Condition, chosen *chosen) error {
	ready.Message += letGo(chosen.leaving) + notThere(chosen.missing)
	switch {
	case chosen.refused != "" && set.Status.Selected == 0:
		ready.Reason, ready.Message = chosen.reason, chosen.refused
	case chosen.refused != "":
		ready.Reason = chosen.reason
		ready.Message = "only clusters that already have a credential are selected: " + chosen.refused + "; " + ready.Message
	case set.Spec.Clusters.DecisionKey != "":
		_, others, err := c.decisions.of(ctx, set)
		if err != nil {
			return err
		}
		ready.Message += notCounting(others)
	}
	ready.Message = words.Message(ready.Message)
	meta.SetStatusCondition(&set.Status.Conditions, ready)
	return nil
}

// notThere returns which names are no ClusterProfile's, as the end of a message.
func notThere(missing []string) string {
	if len(missing) == 0 {
		return ""
	}
	return "; there is no ClusterProfile " + words.Some(missing, ", ", maxLetGo)
}

// notCounting returns which decisions do not count, as the end of a message.
func notCounting(others []other) string {
	if len(others) == 0 {
		return ""
	}
	first := slices.MinFunc(others, func(a, b other) int { return cmp.Compare(a.Name, b.Name) })
	return fmt.Sprintf("; PlacementDecisions with this decision-key that do not count: %d. The first is %s: %s",
		len(others), first.Name, first.why)
}

// setAnyDecisionWriter sets the condition AnyDecisionWriter if the set selects by decisions of any
// writer, else removes it.
func (c *Controller) setAnyDecisionWriter(set *v1alpha1.ClusterCredentialSet) {
	clusters := &set.Spec.Clusters
	if clusters.DecisionKey == "" || len(clusters.DecisionWriters) > 0 {
		meta.RemoveStatusCondition(&set.Status.Conditions, v1alpha1.CredentialSetAnyDecisionWriter)
		return
	}
	meta.SetStatusCondition(&set.Status.Conditions, metav1.Condition{
		Type: v1alpha1.CredentialSetAnyDecisionWriter, Status: metav1.ConditionTrue, ObservedGeneration: set.Generation,
		Reason: v1alpha1.CredentialSetReasonNoWriters,
		Message: fmt.Sprintf("any user who may write PlacementDecisions in this namespace chooses the clusters, "+
			"with the rights of the set's author. To select by decisions of Placements alone, become its author (%s), and run: "+
			`kubectl -n %s patch clustercredentialsets.clusterpass.dev %s --type=merge --patch='{"spec":{"clusters":{"decisionWriters":[%q]}}}'`,
			credentialset.ShowCommand(set), set.Namespace, set.Name, cmp.Or(c.User, v1alpha1.ControllerManagerUser)),
	})
}

// setOptional sets a condition in the status of a set, or removes the one of that type if there is
// none.
func setOptional(set *v1alpha1.ClusterCredentialSet, kind string, optional *metav1.Condition) {
	if optional == nil {
		meta.RemoveStatusCondition(&set.Status.Conditions, kind)
		return
	}
	meta.SetStatusCondition(&set.Status.Conditions, *optional)
}

// letGo returns which clusters a set has given up because they leave the hub, as the end of a
// message.
func letGo(leaving []string) string {
	if len(leaving) == 0 {
		return ""
	}
	return "; not selected, as `kubectl clusterpass unjoin` is removing them from the hub: " + words.Some(leaving, ", ", maxLetGo)
}

// updateBlocked writes into the status why nothing can be done for a set, and returns err.
func (c *Controller) updateBlocked(ctx context.Context, set *v1alpha1.ClusterCredentialSet, err error) error {
	forbidden, ok := errors.AsType[*forbiddenError](err)
	if !ok {
		return err
	}
	next := set.DeepCopy()
	next.Status.ObservedGeneration = set.Generation
	meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
		Type: v1alpha1.CredentialSetReady, Status: metav1.ConditionFalse, ObservedGeneration: set.Generation,
		Reason: v1alpha1.CredentialSetReasonNoSecrets, Message: forbidden.Error(),
	})
	return errors.Join(err, c.writeStatus(ctx, set, next))
}

func (c *Controller) writeStatus(ctx context.Context, set, next *v1alpha1.ClusterCredentialSet) error {
	if equality.Semantic.DeepEqual(set.Status, next.Status) {
		return nil
	}
	_, err := c.Client.ClusterpassV1alpha1().ClusterCredentialSets(set.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return ignoreGone(err)
}

func (c *Controller) recordFailure(want *wanted, err error) {
	renewals.WithLabelValues(resultFailed).Inc()
	c.Recorder.Eventf(want.set, nil, corev1.EventTypeWarning, "CredentialNotIssued", "Issue", "%s",
		words.Message(want.profile.Name+": "+err.Error()))
}
