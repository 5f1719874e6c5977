// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/controllers/internal/gone"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/pkg/words"
)

const (
	eventNormal  = corev1.EventTypeNormal
	eventWarning = corev1.EventTypeWarning
	// rounding is how much earlier than it was a time may be stored.
	rounding = time.Second
)

// revoke does what is due for a grant that is being deleted. It returns after how long to go on.
func (c *Controller) revoke(ctx context.Context, g *v1alpha1.AuthTokenGrant) (time.Duration, error) {
	if !slices.Contains(g.Finalizers, v1alpha1.GrantFinalizer) {
		return 0, nil
	}
	if g.Annotations[v1alpha1.AnnotationAbandonMember] == "true" {
		return 0, c.abandon(ctx, g)
	}
	if !c.members.enter(g.Spec.ClusterProfile.UID) {
		return 0, errBusy
	}
	defer c.members.leave(g.Spec.ClusterProfile.UID)
	client, err := c.client(ctx, g)
	if err != nil {
		return 0, c.failed(ctx, g, err)
	}
	keeper := &grant.Keeper{HubID: c.HubID, Grant: g, Client: client.Kubernetes(), Clock: c.Clock}
	timeout := fmt.Errorf("cluster %s did not answer all calls within %s", client.Name(), memberTimeout)
	calls, cancel := context.WithTimeoutCause(ctx, memberTimeout, timeout)
	defer cancel()
	if err := keeper.EndRights(calls); err != nil {
		return 0, c.memberFailed(ctx, g, client, err)
	}
	if left, err := c.tokensEnd(ctx, g); left > 0 || err != nil {
		return left, err
	}
	if err := keeper.Remove(calls, grant.AllObjects(g)); err != nil {
		return 0, c.memberFailed(ctx, g, client, err)
	}
	if err := c.release(ctx, g); err != nil {
		return 0, err
	}
	revocations.WithLabelValues("Revoked").Inc()
	c.Recorder.Eventf(g, nil, eventNormal, "Revoked", "Revoke", "All that this grant owned on cluster %s is gone", grant.Cluster(g))
	return 0, nil
}

// client returns a client for the member of g: by its ClusterProfile, or, if that is deleted, gives
// no access any more, or leads elsewhere, by the access that the grant has noted. So a user who
// edits the status of the profile cannot keep a grant alive. A client for another cluster than the
// grant's is never returned.
func (c *Controller) client(ctx context.Context, g *v1alpha1.AuthTokenGrant) (*member.Client, error) {
	profile := c.profile(g)
	if profile == nil {
		profile = remembered(g)
	}
	client, err := c.clientBy(ctx, g, profile)
	if err == nil {
		return client, nil
	}
	access := g.Status.AccessProvider
	if ctx.Err() == nil && access != nil && (client == nil || !equality.Semantic.DeepEqual(client.Provider(), *access)) {
		if noted, notedErr := c.clientBy(ctx, g, remembered(g)); notedErr == nil {
			return noted, nil
		}
	}
	if client != nil && isAway(err) {
		c.await(ctx, g, client)
	}
	return nil, err
}

// clientBy returns the client for the cluster of profile, and an error if that is not the cluster
// of g, or is not known to be.
func (c *Controller) clientBy(
	ctx context.Context, g *v1alpha1.AuthTokenGrant, profile *inventoryv1alpha1.ClusterProfile,
) (*member.Client, error) {
	client, err := c.Members.For(ctx, profile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, memberTimeout,
		fmt.Errorf("cluster %s did not say who it is within %s", client.Name(), memberTimeout))
	defer cancel()
	return client, grant.CheckMemberOf(ctx, g, client)
}

// remembered returns the ClusterProfile of g as far as the grant has noted it.
func remembered(g *v1alpha1.AuthTokenGrant) *inventoryv1alpha1.ClusterProfile {
	of := g.Spec.ClusterProfile
	profile := &inventoryv1alpha1.ClusterProfile{ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.Name, UID: of.UID}}
	if g.Status.AccessProvider != nil {
		profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{*g.Status.AccessProvider}
	}
	return profile
}

// tokensEnd returns how long tokens of g may still be accepted by the member, now that their rights
// have ended. It notes when that was.
func (c *Controller) tokensEnd(ctx context.Context, g *v1alpha1.AuthTokenGrant) (time.Duration, error) {
	if g.Status.ExpirationCeiling == nil {
		return 0, nil // no token was ever issued
	}
	if ended := g.Status.RightsEndedTime; ended != nil {
		return ended.Add(grant.TokenCacheTTL + rounding).Sub(c.Clock.Now()), nil
	}
	now := metav1.NewTime(c.Clock.Now())
	revocationDuration.Observe(now.Sub(g.DeletionTimestamp.Time).Seconds())
	err := c.note(ctx, g, func(status *v1alpha1.AuthTokenGrantStatus) {
		status.RightsEndedTime = &now
		setRevoked(status, v1alpha1.GrantReasonTokensEnding,
			fmt.Sprintf("no token has had any rights since %s; the ServiceAccount is deleted when the member no longer accepts any",
				now.UTC().Format(time.RFC3339)))
	})
	return grant.TokenCacheTTL + rounding, err
}

// memberFailed is failed for the error of a call to the member. If the member does not answer, it
// also waits for its return.
func (c *Controller) memberFailed(ctx context.Context, g *v1alpha1.AuthTokenGrant, client *member.Client, err error) error {
	why := client.Error(err, "revoke the grant")
	if isAway(why) {
		c.await(ctx, g, client)
	}
	return c.failed(ctx, g, why)
}

// failed notes on g why it is not revoked, and returns the reason. It does not repeat an event.
func (c *Controller) failed(ctx context.Context, g *v1alpha1.AuthTokenGrant, why error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	revocations.WithLabelValues("Failed").Inc()
	before := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.GrantRevoked)
	reason := v1alpha1.GrantReasonMemberFailed
	if apierrors.HasStatusCause(why, member.CauseIdentity) {
		reason = v1alpha1.GrantReasonOtherMember
	}
	again := before != nil && before.Reason == reason
	if again && apierrors.HasStatusCause(why, member.CauseBreakerOpen) {
		return why // the condition says since when and for what reason; that we don't even try is no news
	}
	if !again {
		c.Recorder.Eventf(g, nil, eventWarning, "RevocationFailed", "Revoke", "Retrying until it is revoked: %s", words.Message(why.Error()))
	}
	err := c.note(ctx, g, func(status *v1alpha1.AuthTokenGrantStatus) {
		setRevoked(status, reason, why.Error())
	})
	return errors.Join(why, err)
}

// setRevoked sets the condition Revoked of a grant, and Ready to False.
func setRevoked(status *v1alpha1.AuthTokenGrantStatus, reason, message string) {
	if meta.FindStatusCondition(status.Conditions, v1alpha1.GrantReady) != nil {
		meta.SetStatusCondition(&status.Conditions, metav1.Condition{
			Type: v1alpha1.GrantReady, Status: metav1.ConditionFalse, Reason: v1alpha1.GrantReasonRevoking,
			Message: "the grant is deleted, and is being revoked",
		})
	}
	meta.SetStatusCondition(&status.Conditions, metav1.Condition{
		Type: v1alpha1.GrantRevoked, Status: metav1.ConditionFalse, Reason: reason, Message: message,
	})
}

// note changes the status of g.
func (c *Controller) note(ctx context.Context, g *v1alpha1.AuthTokenGrant, change func(*v1alpha1.AuthTokenGrantStatus)) error {
	next := g.DeepCopy()
	change(&next.Status)
	if equality.Semantic.DeepEqual(g.Status, next.Status) {
		return nil
	}
	_, err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	return ignoreGone(err, g)
}

// isOnlyNoted returns whether a grant differs only in what a revocation notes on it. To enqueue it
// for that would cut short the backoff between two tries that fail with different words.
func isOnlyNoted(before, after any) bool {
	was, ok := before.(*v1alpha1.AuthTokenGrant)
	next, also := after.(*v1alpha1.AuthTokenGrant)
	return ok && also && equality.Semantic.DeepEqual(withoutNotes(was), withoutNotes(next))
}

func withoutNotes(g *v1alpha1.AuthTokenGrant) *v1alpha1.AuthTokenGrant {
	g = g.DeepCopy()
	g.ResourceVersion = ""
	g.Status.RightsEndedTime = nil
	meta.RemoveStatusCondition(&g.Status.Conditions, v1alpha1.GrantRevoked)
	return g
}

// abandon removes the finalizer of a grant whose member is gone for ever.
func (c *Controller) abandon(ctx context.Context, g *v1alpha1.AuthTokenGrant) error {
	if err := c.release(ctx, g); err != nil {
		return err
	}
	revocations.WithLabelValues("Abandoned").Inc()
	names := make([]string, 0, len(g.Status.MemberObjects))
	for _, o := range grant.AllObjects(g) {
		names = append(names, o.Kind+" "+strings.TrimPrefix(o.Namespace+"/"+o.Name, "/"))
	}
	klog.FromContext(ctx).Info("Abandoned what a grant owns on its member", "cluster", grant.Cluster(g), "objects", names)
	c.Recorder.Eventf(g, nil, eventWarning, "Abandoned", "Revoke",
		"As annotated, %d objects stay on cluster %s; tokens bound to them may work until they expire", len(names), grant.Cluster(g))
	return nil
}

// release removes the finalizer of a grant.
func (c *Controller) release(ctx context.Context, g *v1alpha1.AuthTokenGrant) error {
	next := g.DeepCopy()
	next.Finalizers = slices.DeleteFunc(next.Finalizers, func(f string) bool { return f == v1alpha1.GrantFinalizer })
	_, err := c.Client.ClusterpassV1alpha1().AuthTokenGrants(g.Namespace).Update(ctx, next, metav1.UpdateOptions{})
	if isGone(err, g) {
		return nil
	}
	return err
}

// endWithoutProfile deletes a grant whose ClusterProfile is deleted, or was replaced under its
// name. It reads the profile without the cache.
func (c *Controller) endWithoutProfile(ctx context.Context, g *v1alpha1.AuthTokenGrant) error {
	of := g.Spec.ClusterProfile
	profile, err := c.Inventory.ApisV1alpha1().ClusterProfiles(of.Namespace).Get(ctx, of.Name, metav1.GetOptions{})
	switch {
	case err == nil && profile.UID == of.UID && profile.DeletionTimestamp == nil:
		return fmt.Errorf("ClusterProfile %s is there, but not in the cache yet", grant.Cluster(g))
	case err != nil && !gone.Is(err, inventoryv1alpha1.Resource("clusterprofiles"), of.Name):
		return fmt.Errorf("ClusterProfile %s: %w", grant.Cluster(g), err)
	}
	return c.end(ctx, g, nil, "ClusterProfileGone",
		fmt.Sprintf("ClusterProfile %s with UID %s is gone, or is being deleted", grant.Cluster(g), of.UID))
}

// ignoreGone drops the error for a grant that is deleted or replaced, which causes an event of its
// own.
func ignoreGone(err error, g *v1alpha1.AuthTokenGrant) error {
	if isGone(err, g) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func isGone(err error, g *v1alpha1.AuthTokenGrant) bool {
	return gone.Is(err, v1alpha1.Resource("authtokengrants"), g.Name)
}
