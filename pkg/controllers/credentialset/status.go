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

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/credentialset"
	"clusterpass.dev/pkg/words"
)

// maxLetGo bounds the clusters that a message names because they leave the hub.
const maxLetGo = 5

// maxWriter bounds a username in a message, in bytes.
const maxWriter = 100

// updateStatus writes the status of a set, with the condition of its consumer if it has one, if
// that changes it.
func (c *Controller) updateStatus(
	ctx context.Context, set *v1alpha1.ClusterCredentialSet, selected *selection, consumer *metav1.Condition,
) error {
	next := set.DeepCopy()
	status := &next.Status
	status.ObservedGeneration = set.Generation
	status.Selected = int32(len(selected.clusters)) //nolint:gosec // a hub has no such number of objects
	status.Ready = status.Selected
	first := ""
	if credentialset.KeepsCredentials(set) {
		credentials, rotation := c.credentials(set, selected.clusters)
		status.Ready = 0
		for i := range credentials {
			if credentials[i].Ready {
				status.Ready++
			}
			if first == "" && credentials[i].Message != "" {
				first = credentials[i].ClusterProfile + ": " + credentials[i].Message
			}
		}
		status.Credentials, status.NextRotation = credentials[:min(len(credentials), v1alpha1.MaxListedCredentials)], rotation
	}
	setReady(next, condition(next, first), selected)
	if consumer == nil {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.MultiKueueReady)
	} else {
		meta.SetStatusCondition(&status.Conditions, *consumer)
	}
	c.setAnyDecisionWriter(next)
	c.setAuthorConditions(set, next)
	reason, message, err := c.conflict(set)
	if err != nil {
		return err
	}
	setWarning(next, v1alpha1.CredentialSetConflict, reason, words.Message(message))
	return c.writeStatus(ctx, set, next)
}

// credentials returns the states of the credentials of the selected clusters: those that are not
// ready first, then those that were not renewed, then the others; each by name. It also returns
// when the first of them is due, nil if that is not known of any.
func (c *Controller) credentials(
	set *v1alpha1.ClusterCredentialSet, clusters profilesByName,
) (credentials []v1alpha1.CredentialStatus, rotation *metav1.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cluster := range clusters {
		known := c.record(set, cluster).state
		credentials = append(credentials, known.CredentialStatus)
		if !known.due.IsZero() && (rotation == nil || known.due.Before(rotation.Time)) {
			rotation = &metav1.Time{Time: known.due}
		}
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
	return credentials, rotation
}

// condition returns the condition Ready of a set by what its status counts. first is what a message
// says of the first credential that has one.
func condition(set *v1alpha1.ClusterCredentialSet, first string) metav1.Condition {
	ready := metav1.Condition{
		Type: v1alpha1.CredentialSetReady, Status: metav1.ConditionTrue, ObservedGeneration: set.Generation,
		Reason: v1alpha1.CredentialSetReasonReady, Message: "each selected cluster has a credential",
	}
	switch {
	case set.Status.Selected == 0:
		ready.Status, ready.Reason, ready.Message = metav1.ConditionFalse, v1alpha1.CredentialSetReasonNoClusters, "no ClusterProfile is selected"
	case set.Status.Ready < set.Status.Selected:
		ready.Status, ready.Reason = metav1.ConditionFalse, v1alpha1.CredentialSetReasonNotReady
		ready.Message = fmt.Sprintf("%d of %d clusters have a credential; %s", set.Status.Ready, set.Status.Selected, first)
	case !credentialset.KeepsCredentials(set):
		ready.Reason = v1alpha1.CredentialSetReasonNoneKept
		ready.Message = "no credentials are kept: Kueue asks for them by its credential plugin"
	case first != "":
		ready.Reason = v1alpha1.CredentialSetReasonNotRenewed
		ready.Message = "some credentials are valid but were not renewed; " + first
	}
	return ready
}

// setReady sets the condition Ready in the status of a set, and adds to its message what else there
// is to say of the selection.
func setReady(set *v1alpha1.ClusterCredentialSet, ready metav1.Condition, selected *selection) {
	if len(selected.leaving) > 0 {
		ready.Message += "; not selected, as `kubectl clusterpass unjoin` is removing them from the hub: " +
			words.Some(selected.leaving, ", ", maxLetGo)
	}
	if len(selected.missing) > 0 {
		ready.Message += "; there is no ClusterProfile " + words.Some(selected.missing, ", ", maxLetGo)
	}
	if ignored := selected.decisions.ignored; len(ignored) > 0 {
		first := slices.Min(slices.Collect(maps.Keys(ignored)))
		ready.Message += fmt.Sprintf("; PlacementDecisions with this decision-key that do not count: %d. The first is %s: %s",
			len(ignored), first, ignored[first])
	}
	if selected.decisions.tied != "" {
		ready.Message += "; " + selected.decisions.tied
	}
	if selected.refused != "" {
		ready.Reason = selected.reason
		if set.Status.Selected == 0 {
			ready.Message = selected.refused
		} else {
			ready.Message = "only clusters that already have a credential are selected: " + selected.refused + "; " + ready.Message
		}
	}
	ready.Message = words.Message(ready.Message)
	meta.SetStatusCondition(&set.Status.Conditions, ready)
}

// setAnyDecisionWriter sets the condition AnyDecisionWriter if the set selects by decisions of any
// writer, else removes it.
func (c *Controller) setAnyDecisionWriter(set *v1alpha1.ClusterCredentialSet) {
	reason := ""
	if clusters := &set.Spec.Clusters; clusters.DecisionKey != "" && len(clusters.DecisionWriters) == 0 {
		reason = v1alpha1.CredentialSetReasonNoWriters
	}
	setWarning(set, v1alpha1.CredentialSetAnyDecisionWriter, reason, fmt.Sprintf(
		"any user who may write PlacementDecisions in this namespace chooses the clusters, "+
			"with the rights of the set's author. To select by decisions of Placements alone, become its author (%s), and run: "+
			`kubectl -n %s patch clustercredentialsets.clusterpass.dev %s --type=merge --patch='{"spec":{"clusters":{"decisionWriters":[%q]}}}'`,
		credentialset.ShowCommand(set), set.Namespace, set.Name, cmp.Or(c.User, v1alpha1.ControllerManagerUser)))
}

// setWarning sets a condition that is True for a reason, or removes it if there is none.
func setWarning(set *v1alpha1.ClusterCredentialSet, kind, reason, message string) {
	if reason == "" {
		meta.RemoveStatusCondition(&set.Status.Conditions, kind)
		return
	}
	meta.SetStatusCondition(&set.Status.Conditions, metav1.Condition{
		Type: kind, Status: metav1.ConditionTrue, ObservedGeneration: set.Generation, Reason: reason, Message: message,
	})
}

// updateBlocked writes into the status why nothing can be done for a set, and returns err.
func (c *Controller) updateBlocked(ctx context.Context, set *v1alpha1.ClusterCredentialSet, err error) error {
	forbidden, ok := errors.AsType[forbiddenError](err)
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
