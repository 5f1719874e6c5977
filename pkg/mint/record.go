// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

const (
	// ceilingStep is how far beyond the token's expiry the ceiling of a grant is
	// set, so that the next write is as far away.
	ceilingStep = 2 * time.Hour
	// clockSkew is how much later than by our clock a token may expire by its member's.
	clockSkew = 5 * time.Minute
	// giveUpTimeout bounds what is done for a request that has failed.
	giveUpTimeout = 5 * time.Second
)

// recordEnsured records that the member has all of the grant, and returns it with a
// ceiling that the token will not pass. Where the grant has been deleted or changed
// meanwhile, what was made for it is withdrawn: it is not resurrected.
func (t *task) recordEnsured(
	ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, ready *grant.Ensured, expiration int64,
) (confirmed *clusterpassv1alpha1.AuthTokenGrant, err error) {
	defer observePhase(phaseRecord, t.Clock, t.Clock.Now(), &err)
	confirmed, err = t.amend(ctx, g, func(next *clusterpassv1alpha1.AuthTokenGrant) {
		next.Status.ObservedGeneration = next.Generation
		next.Status.MemberObjects = grant.Objects(next)
		next.Status.AccessProvider = t.want.Status.AccessProvider
		if next.Status.MemberUID == "" && t.isHere(g, ready) {
			next.Status.MemberUID = t.want.Status.MemberUID
		}
		setReady(next, metav1.ConditionTrue, clusterpassv1alpha1.GrantReasonEnsured, grant.EnsuredMessage)
		t.raiseCeiling(next, expiration)
	})
	if apierrors.IsConflict(err) {
		t.withdraw(ctx, g)
	}
	return confirmed, err
}

// isHere returns whether g is known to be on the member, although it does not say where it is. It
// is if its ServiceAccount was already there, or if it was never on any member. Any other may be on
// another cluster.
func (t *task) isHere(g *clusterpassv1alpha1.AuthTokenGrant, ready *grant.Ensured) bool {
	return ready.AccountFound || g.Status.ObservedGeneration == 0 || t.joined != ""
}

// amend reads g as it is stored now, and stores what mutate makes of it where that
// differs. It returns 409 where g is being deleted, has been, or has another spec now.
func (t *task) amend(
	ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, mutate func(next *clusterpassv1alpha1.AuthTokenGrant),
) (*clusterpassv1alpha1.AuthTokenGrant, error) {
	for range attempts {
		live, err := t.Grants.Live(ctx, g.Namespace, g.Name)
		switch {
		case apierrors.IsNotFound(err), err == nil && !grant.IsCurrent(live, g):
			return nil, t.conflict("it has been revoked or changed meanwhile")
		case err != nil:
			return nil, err
		}
		next := live.DeepCopy()
		mutate(next)
		t.noteSet(next)
		if equality.Semantic.DeepEqual(live, next) {
			return live, nil
		}
		updated, err := t.Grants.Update(ctx, next)
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return updated, err
		}
	}
	return nil, t.conflict("other requests are changing it; try again")
}

// covers returns whether no token of that lifetime, in seconds, can pass the ceiling of g.
func (t *task) covers(g *clusterpassv1alpha1.AuthTokenGrant, expiration int64) bool {
	ceiling := g.Status.ExpirationCeiling
	return ceiling != nil && !ceiling.Time.Before(t.Clock.Now().Add(time.Duration(expiration)*time.Second+clockSkew))
}

// raiseCeiling has g cover a token of that lifetime, in seconds.
func (t *task) raiseCeiling(g *clusterpassv1alpha1.AuthTokenGrant, expiration int64) {
	if t.covers(g, expiration) {
		return
	}
	now := t.Clock.Now()
	g.Status.ExpirationCeiling = timestamp(now.Add(time.Duration(expiration)*time.Second + ceilingStep))
	g.Status.LastIssuedTime = timestamp(now)
	last := t.want.Spec.Requester
	g.Status.LastRequester = &last
}

// giveUp notes on the grant why its member does not have all of it. That a requester
// did not wait says nothing of the member.
func (t *task) giveUp(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, reason string, failure error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	_, err := t.amend(ctx, g, func(next *clusterpassv1alpha1.AuthTokenGrant) {
		setReady(next, metav1.ConditionFalse, reason, failure.Error())
	})
	switch {
	case apierrors.IsConflict(err):
		t.withdraw(ctx, g)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Could not note on a grant that it failed", "grant", klog.KObj(g))
	}
}

// undo takes back a grant that this request has created and the member refused: it
// never came about, and would keep the name of its ServiceAccount. Where an equal
// request has got a token for it meanwhile, it is that one's. What cannot be taken
// back now, the controller manager takes back: the grant is being deleted then.
func (t *task) undo(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	err := t.Grants.Delete(ctx, g)
	if apierrors.IsConflict(err) {
		return
	}
	if err == nil {
		err = t.keeper(g).Remove(ctx, grant.AllObjects(g))
	}
	if err == nil {
		err = t.release(ctx, g)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to take back what a refused request had made", "grant", klog.KObj(g))
	}
}

// release lets a deleted grant go that owns nothing any more.
func (t *task) release(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) error {
	live, err := t.Grants.Live(ctx, g.Namespace, g.Name)
	if err == nil && live.UID == g.UID {
		live.Finalizers = slices.DeleteFunc(live.Finalizers, func(f string) bool { return f == clusterpassv1alpha1.GrantFinalizer })
		_, err = t.Grants.Update(ctx, live)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// withdraw removes what was made for g that the grant, as it is now, does not name.
func (t *task) withdraw(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	if _, err := t.keeper(g).Confirm(ctx, t.Grants); err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to remove what was made for a grant while it changed",
			"grant", klog.KObj(g))
	}
}

func setReady(g *clusterpassv1alpha1.AuthTokenGrant, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{
		Type:               clusterpassv1alpha1.GrantReady,
		Status:             status,
		Reason:             reason,
		Message:            message,
		ObservedGeneration: g.Generation,
	})
}
