// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

// repairAll repairs all grants of a ClusterProfile that differ from the member in both readings of
// it. What cannot be repaired is noted on the grant.
func (c *Controller) repairAll(ctx context.Context, profile types.UID, client *member.Client, found, again *grant.Found) {
	for _, g := range c.cached() {
		if g.Spec.ClusterProfile.UID != profile || !isComplete(g) {
			continue
		}
		if drift := again.Drift(g); len(drift) > 0 && len(found.Drift(g)) > 0 {
			if err := c.repair(ctx, g, client, drift); err != nil {
				klog.FromContext(ctx).Info("Grant not repaired", "grant", klog.KObj(g), "reason", err)
			}
		}
	}
}

// isComplete returns whether the member has had all of g as it is now, and should still have it.
func isComplete(g *v1alpha1.AuthTokenGrant) bool {
	return g.DeletionTimestamp == nil && g.Status.ObservedGeneration == g.Generation
}

// noteMember notes which cluster the member is on the grants that do not say so yet, and were found
// there.
func (c *Controller) noteMember(ctx context.Context, profile types.UID, client *member.Client, found *grant.Found) error {
	for _, g := range c.cached() {
		if g.Spec.ClusterProfile.UID != profile || g.Status.MemberUID != "" || !isComplete(g) || !found.HasAccount(g) {
			continue
		}
		uid, err := client.MemberUID(ctx)
		if err != nil || uid == "" {
			return err
		}
		next := g.DeepCopy()
		next.Status.MemberUID = uid
		_, err = c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return fmt.Errorf("noting the cluster of grant %s/%s: %w", g.Namespace, g.Name, err)
		}
	}
	return nil
}

// repair makes the member have all of g again, if g is still as it was.
func (c *Controller) repair(ctx context.Context, g *v1alpha1.AuthTokenGrant, client *member.Client, drift map[string]string) error {
	live, err := store{c.Client}.Live(ctx, g.Namespace, g.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case !grant.IsCurrent(live, g), !isComplete(live):
		return nil
	}
	if err := grant.CheckMemberOf(ctx, live, client); err != nil {
		return c.notRepaired(ctx, live, err)
	}
	keeper := &grant.Keeper{HubID: c.HubID, Grant: live, Client: client.Kubernetes(), Clock: c.Clock}
	ensured, err := keeper.Ensure(ctx)
	if err != nil {
		return c.notRepaired(ctx, live, grant.MemberError(client, err, "repair the grant"))
	}
	now, err := keeper.Confirm(ctx, store{c.Client}.Live)
	if err != nil || now == nil {
		return err
	}
	if !ensured.Changed {
		klog.FromContext(ctx).Info("The member has what it left out of its lists", "grant", klog.KObj(g))
		return c.noteReady(ctx, now, metav1.ConditionTrue, v1alpha1.GrantReasonEnsured, grant.EnsuredMessage)
	}
	for kind := range drift {
		repairs.WithLabelValues(kind).Inc()
	}
	repaired := words.Message(strings.Join(slices.Sorted(maps.Values(drift)), "; "))
	klog.FromContext(ctx).Info("Repaired what a grant owns", "grant", klog.KObj(g), "drift", repaired)
	c.Recorder.Eventf(now, nil, corev1.EventTypeNormal, "DriftRepaired", "Repair", "%s", repaired)
	return c.noteReady(ctx, now, metav1.ConditionTrue, v1alpha1.GrantReasonEnsured, grant.EnsuredMessage)
}

// store reads grants by calls to the hub.
type store struct{ client versioned.Interface }

// Live is a grant.LiveFunc. A hub that does not serve grants is no hub without the grant.
func (s store) Live(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error) {
	g, err := s.client.ClusterpassV1alpha1().AuthTokenGrants(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && !gone.Is(err, v1alpha1.Resource("authtokengrants"), name) {
		return nil, apierrors.NewInternalError(err)
	}
	return g, err
}

// notRepaired notes on a grant why the member differs from it, with one event, and returns the
// reason.
func (c *Controller) notRepaired(ctx context.Context, g *v1alpha1.AuthTokenGrant, why error) error {
	if meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.GrantReady) {
		c.Recorder.Eventf(g, nil, corev1.EventTypeWarning, "DriftNotRepaired", "Repair", "%s", words.Message(why.Error()))
	}
	return errors.Join(why, c.noteReady(ctx, g, metav1.ConditionFalse, v1alpha1.GrantReasonMemberFailed, why.Error()))
}

// noteReady sets the condition Ready if that changes it.
func (c *Controller) noteReady(
	ctx context.Context, g *v1alpha1.AuthTokenGrant, status metav1.ConditionStatus, reason, message string,
) error {
	next := g.DeepCopy()
	changed := meta.SetStatusCondition(&next.Status.Conditions, metav1.Condition{
		Type: v1alpha1.GrantReady, Status: status, Reason: reason, Message: message, ObservedGeneration: g.Generation,
	})
	if !changed {
		return nil
	}
	_, err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return err
}
