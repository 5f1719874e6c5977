// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

const (
	// confirmTimeout bounds a read of the hub that confirms an answer.
	confirmTimeout = 5 * time.Second
	// giveUpTimeout bounds what is done for a request that has failed.
	giveUpTimeout = 5 * time.Second
)

// task is one request that was found entitled to what it asks for.
type task struct {
	*Minter
	*target
	request Request
	// expiration is the lifetime to request of the member.
	expiration time.Duration
	// want is the grant that the request takes, as it would be created.
	want *clusterpassv1alpha1.AuthTokenGrant
	// stored is the grant as the request has last read or written it on the hub.
	stored *clusterpassv1alpha1.AuthTokenGrant
	// created says that this request has created the grant.
	created bool
	// warnings are for the requester.
	warnings []string
}

func (m *Minter) newTask(r Request, to *target) *task {
	seconds, warnings := m.clamp(r.Spec.ExpirationSeconds)
	want := grant.New(r.Namespace, r.Spec, to.profile.UID,
		clusterpassv1alpha1.Requester{Username: r.User.GetName(), UID: r.User.GetUID(), Groups: r.User.GetGroups()})
	want.Status.AccessProvider = ptr.To(to.client.Provider())
	if r.Owner != nil {
		want.OwnerReferences = []metav1.OwnerReference{*r.Owner}
	}
	t := &task{Minter: m, target: to, request: r, expiration: time.Duration(seconds) * time.Second, want: want, warnings: warnings}
	t.noteSet(want)
	return t
}

// noteSet notes on g which ClusterCredentialSet's it is.
func (t *task) noteSet(g *clusterpassv1alpha1.AuthTokenGrant) {
	if t.request.Owner != nil {
		metav1.SetMetaDataLabel(&g.ObjectMeta, clusterpassv1alpha1.LabelCredentialSetUID, string(t.request.Owner.UID))
	}
}

// verifiedKey names a grant as it was verified: another generation is another matter.
type verifiedKey struct {
	uid        types.UID
	generation int64
}

// run returns a token of the grant, which is then stored. What was verified lately is trusted, and
// costs one call to the member. If the member then says that it is gone, the request goes the cold
// way, once.
func (t *task) run(ctx context.Context) (*issuedToken, error) {
	// The bodies of these calls hold tokens.
	ctx, cancel := t.withTimeout(member.Quiet(ctx), t.RequestTimeout+grant.TokenCacheTTL)
	defer cancel()
	if bound, ok := t.known(ctx); ok {
		token, err := t.runWarm(ctx, bound)
		if !errors.Is(err, errRaced) {
			return token, err
		}
		t.verified.Remove(verifiedKey{t.stored.UID, t.stored.Generation})
	}
	return t.runCold(ctx)
}

// runWarm has a token issued for what is known. The grant is written to only where its ceiling is
// too low. It returns errRaced where what was known is no longer so.
func (t *task) runWarm(ctx context.Context, bound grant.Bound) (*issuedToken, error) {
	ctx, cancel := t.withTimeout(ctx, t.RequestTimeout)
	defer cancel()
	if !t.covers(t.stored) {
		switch err := t.amend(ctx, t.raiseCeiling); {
		case apierrors.IsConflict(err):
			return nil, errRaced
		case err != nil:
			return nil, err
		}
	}
	token, err := t.issue(ctx, bound)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// What the token is issued for or bound to is not, or no longer, on the member.
		return nil, errRaced
	}
	return token, grant.MemberError(t.client, err, "issue the token")
}

// withTimeout bounds ctx by a deadline of ours, which counts against the member.
func (t *task) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("cluster %s did not answer all calls within %s", t.client.Name(), timeout))
}

// known returns what tokens of the grant are issued for, where the grant is what is asked for and
// was verified lately, and keeps the grant in stored. It calls nobody: whoever has ended the
// grant's tokens since has deleted the Secret on the member, and no token is issued for that one.
func (t *task) known(ctx context.Context) (grant.Bound, bool) {
	g, err := t.Grants.Cached(ctx, t.want.Namespace, t.want.Name)
	if err != nil || g.DeletionTimestamp != nil || !grant.IsFor(g, t.want) || grant.SetOf(g) != grant.SetOf(t.want) ||
		difference(g, t.want) != "" {
		return grant.Bound{}, false
	}
	t.stored = g
	value, _ := t.verified.Get(verifiedKey{g.UID, g.Generation})
	bound, ok := value.(grant.Bound)
	return bound, ok
}

// runCold stores the grant, has the member have all of it, and issues the token.
func (t *task) runCold(ctx context.Context) (*issuedToken, error) {
	if err := t.identify(ctx); err != nil {
		return nil, err
	}
	if err := t.storeGrant(ctx); err != nil {
		return nil, err
	}
	if err := t.checkStays(ctx); err != nil {
		return nil, err
	}
	ready, err := t.ensure(ctx)
	if err != nil {
		return nil, t.giveUp(ctx, err)
	}
	if err := t.recordEnsured(ctx, ready); err != nil {
		return nil, err
	}
	token, err := t.issue(ctx, ready.Bound)
	if err != nil {
		return nil, grant.MemberError(t.client, err, "issue the token")
	}
	t.waitUsable(ctx, token, ready.AccessChecks)
	t.verified.Add(verifiedKey{t.stored.UID, t.stored.Generation}, ready.Bound, verifiedTTL)
	return token, nil
}

// identify notes which cluster the member is, as far as it says so, before anything is stored or
// made for the request.
func (t *task) identify(ctx context.Context) error {
	ctx, cancel := t.withTimeout(ctx, t.RequestTimeout)
	defer cancel()
	uid, err := t.client.MemberUID(ctx)
	if err != nil {
		return err
	}
	if joined := t.joined(); uid != "" && joined != "" && uid != joined {
		return grant.NewConflict(authTokenGrants, t.want.Name, member.CauseIdentity, fmt.Sprintf(
			"ClusterProfile %s leads to another cluster than its annotation %s says: the UID of the namespace kube-system there is %s, "+
				"and not %s. Nothing was made there", grant.Cluster(t.want), member.MemberUIDAnnotation, uid, joined))
	}
	t.want.Status.MemberUID = uid
	return nil
}

// checkStays refuses the first token of a grant for a member that began to leave while the grant
// was stored, and takes back a grant that was created for it. Whoever removes the member sets the
// mark, and then lists the grants; the request stores its grant, and then reads the mark. So one of
// them sees the other, and a grant that had a token was seen by whoever removes the member.
func (t *task) checkStays(ctx context.Context) error {
	if t.stored.Status.ExpirationCeiling != nil {
		return nil
	}
	reading, cancel := context.WithTimeoutCause(ctx, confirmTimeout, fmt.Errorf("it was not read within %s", confirmTimeout))
	defer cancel()
	leaving, err := t.Members.LiveLeaving(reading, t.reached())
	if err == nil {
		err = checkNotLeaving(t.profile.Name, leaving)
	} else if _, ours := errors.AsType[*apierrors.StatusError](err); !ours {
		err = apierrors.NewTimeoutError(fmt.Sprintf("cannot tell whether cluster %s is leaving this hub: %v", t.profile.Name, err), 1)
	}
	// That a requester did not wait says nothing of the member.
	if err != nil && t.created && !errors.Is(ctx.Err(), context.Canceled) {
		t.undo(ctx)
	}
	return err
}

// reached returns the ClusterProfile with the one access provider that the client was made from.
// The mark is in the Secret that this names: a cached profile may name an earlier one.
func (t *task) reached() *inventoryv1alpha1.ClusterProfile {
	return &inventoryv1alpha1.ClusterProfile{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.profile.Namespace, Name: t.profile.Name, UID: t.profile.UID},
		Status:     inventoryv1alpha1.ClusterProfileStatus{AccessProviders: []inventoryv1alpha1.AccessProvider{t.client.Provider()}},
	}
}

func (t *task) ensure(ctx context.Context) (ready *grant.Ensured, err error) {
	timeout := t.RequestTimeout
	if grant.IsChanging(t.stored) {
		// The tokens of the roles that were may have to end first.
		timeout += grant.TokenCacheTTL
	}
	ctx, cancel := t.withTimeout(ctx, timeout)
	defer cancel()
	defer observePhase(phaseEnsure, t.Clock, t.Clock.Now(), &err)
	return t.keeper(t.stored).Ensure(ctx)
}

func (t *task) keeper(g *clusterpassv1alpha1.AuthTokenGrant) *grant.Keeper {
	return &grant.Keeper{HubID: t.HubID, Grant: g, Client: t.client.Kubernetes(), Clock: t.Clock, AuditID: t.request.AuditID}
}

// giveUp returns the error for the requester of a grant that could not be ensured because of err.
// It takes back a grant that was created for the request and that the member refused. On any other
// it notes why the member does not have all of it, unless the requester did not wait: that says
// nothing of the member.
func (t *task) giveUp(ctx context.Context, err error) error {
	failure := grant.MemberError(t.client, err, "prepare ServiceAccount "+grant.Account(t.stored).String())
	denied, _ := member.IsDenied(err)
	reason := clusterpassv1alpha1.GrantReasonMemberFailed
	if grant.IsRefused(err) {
		reason = clusterpassv1alpha1.GrantReasonRefused
	}
	switch {
	case t.created && (denied || grant.IsRefused(err)):
		t.undo(ctx)
		return failure
	case errors.Is(ctx.Err(), context.Canceled):
		return failure
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	err = t.amend(ctx, func(next *clusterpassv1alpha1.AuthTokenGrant) {
		setReady(next, metav1.ConditionFalse, reason, failure.Error())
	})
	switch {
	case apierrors.IsConflict(err):
		t.withdraw(ctx)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Could not note on a grant that it failed", "grant", klog.KObj(t.stored))
	}
	return failure
}

// undo takes back a grant that this request has created and the member refused: it never came
// about, and would keep the name of its ServiceAccount. Where an equal request has got a token for
// it meanwhile, it is that one's. What cannot be taken back now, the controller manager takes back:
// the grant is being deleted then.
func (t *task) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	err := t.Grants.Delete(ctx, t.stored)
	if apierrors.IsConflict(err) {
		return
	}
	if err == nil {
		err = t.keeper(t.stored).Remove(ctx, grant.AllObjects(t.stored))
	}
	if err == nil {
		err = t.release(ctx)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to take back what a refused request had made",
			"grant", klog.KObj(t.stored))
	}
}

// release lets the grant go, which is deleted and owns nothing any more.
func (t *task) release(ctx context.Context) error {
	live, err := t.Grants.Live(ctx, t.stored.Namespace, t.stored.Name)
	if err == nil && live.UID == t.stored.UID {
		live.Finalizers = slices.DeleteFunc(live.Finalizers, func(f string) bool { return f == clusterpassv1alpha1.GrantFinalizer })
		_, err = t.Grants.Update(ctx, live)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// withdraw removes what was made for the grant that it does not name any more, as it is now.
func (t *task) withdraw(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	if _, err := t.keeper(t.stored).Confirm(ctx, t.Grants.Live); err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to remove what was made for a grant while it changed",
			"grant", klog.KObj(t.stored))
	}
}
