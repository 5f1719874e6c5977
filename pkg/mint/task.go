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
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
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
	// cleanupTimeout bounds what is removed or recorded after a request has failed.
	cleanupTimeout = 5 * time.Second
)

// task is one authorised request.
type task struct {
	*Minter
	*target
	request Request
	// expiration is the lifetime to request from the member.
	expiration time.Duration
	// want is the grant that the request needs, as it would be created.
	want *clusterpassv1alpha1.AuthTokenGrant
	// grant is the grant as the request has last read or written it; it may be from the cache.
	grant *clusterpassv1alpha1.AuthTokenGrant
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

// noteSet labels g with the UID of the ClusterCredentialSet of the request, if it has one.
func (t *task) noteSet(g *clusterpassv1alpha1.AuthTokenGrant) {
	if t.request.Owner != nil {
		metav1.SetMetaDataLabel(&g.ObjectMeta, clusterpassv1alpha1.LabelCredentialSetUID, string(t.request.Owner.UID))
	}
}

// verifiedKey identifies one generation of a grant whose objects were found on the member.
type verifiedKey struct {
	uid        types.UID
	generation int64
}

// run returns a token for t.grant. If the grant's objects were found on the member within
// verifiedTTL, the request is warm, and costs one call to the member. If the member then answers
// that an object is missing, run continues as for a cold request.
func (t *task) run(ctx context.Context) (*issuedToken, error) {
	// The bodies of these calls hold tokens.
	ctx, cancel := t.withTimeout(member.Quiet(ctx), t.RequestTimeout+grant.TokenCacheTTL)
	defer cancel()
	if bound, ok := t.known(ctx); ok {
		token, err := t.runWarm(ctx, bound)
		if !errors.Is(err, errRetry) {
			return token, err
		}
		t.verified.Remove(verifiedKey{t.grant.UID, t.grant.Generation})
	}
	return t.runCold(ctx)
}

// runWarm requests a token for the ServiceAccount and the Secret in bound. It updates the grant
// only if its ceiling is too low. It returns errRetry if the grant has changed, or if one of the
// two objects is gone.
func (t *task) runWarm(ctx context.Context, bound grant.Bound) (*issuedToken, error) {
	ctx, cancel := t.withTimeout(ctx, t.RequestTimeout)
	defer cancel()
	if !t.covers(t.grant) {
		switch err := t.amend(ctx, t.raiseCeiling); {
		case apierrors.IsConflict(err):
			return nil, errRetry
		case err != nil:
			return nil, err
		}
	}
	token, err := t.issue(ctx, bound)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		// The ServiceAccount or the Secret is no longer on the member.
		return nil, errRetry
	}
	return token, grant.MemberError(t.client, err, "issue the token")
}

// withTimeout returns ctx with a timeout. The breaker counts a call that exceeds it as a failure of
// the member.
func (t *task) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, fmt.Errorf("cluster %s did not answer all calls within %s", t.client.Name(), timeout))
}

// known returns the ServiceAccount and the Secret for a token, if the cached grant is the one that
// the request needs, and its objects were found on the member within verifiedTTL. It sets t.grant
// to the cached grant. It calls neither hub nor member. If the grant was revoked or changed since,
// the Secret was deleted, and the member issues no token for it.
func (t *task) known(ctx context.Context) (grant.Bound, bool) {
	g, err := t.Grants.Cached(ctx, t.want.Namespace, t.want.Name)
	if err != nil || g.DeletionTimestamp != nil || !grant.IsFor(g, t.want) || grant.SetOf(g) != grant.SetOf(t.want) ||
		difference(g, t.want) != "" {
		return grant.Bound{}, false
	}
	t.grant = g
	value, _ := t.verified.Get(verifiedKey{g.UID, g.Generation})
	bound, ok := value.(grant.Bound)
	return bound, ok
}

// runCold stores the grant on the hub, ensures its objects on the member, and requests the token.
func (t *task) runCold(ctx context.Context) (*issuedToken, error) {
	if err := t.identify(ctx); err != nil {
		return nil, err
	}
	if err := t.storeGrant(ctx); err != nil {
		return nil, err
	}
	if err := t.confirmNotLeaving(ctx); err != nil {
		return nil, err
	}
	ready, err := t.ensure(ctx)
	if err != nil {
		return nil, t.handleEnsureError(ctx, err)
	}
	if err := t.recordEnsured(ctx, ready); err != nil {
		return nil, err
	}
	token, err := t.issue(ctx, ready.Bound)
	if err != nil {
		return nil, grant.MemberError(t.client, err, "issue the token")
	}
	t.waitUsable(ctx, token, ready.AccessChecks)
	t.verified.Add(verifiedKey{t.grant.UID, t.grant.Generation}, ready.Bound, verifiedTTL)
	return token, nil
}

// identify reads the UID of the member into t.want, before the hub or the member stores anything
// for the request. The UID stays empty if the member does not let clusterpass read it. identify
// returns 409 if the ClusterProfile was joined with another cluster.
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

// confirmNotLeaving returns an error if the member is being removed from the hub, or if that is
// unknown. After an error it deletes the grant, if this request has created it. It reads the mark
// of a leaving member only before the first token of a grant.
//
// The removal of a member first sets the mark, and then lists the grants. A request first stores
// its grant, and then reads the mark. So either the removal finds the grant, or the request finds
// the mark.
func (t *task) confirmNotLeaving(ctx context.Context) error {
	if t.grant.Status.ExpirationCeiling != nil {
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
	// If the requester has cancelled the request, the error says nothing about the member.
	if err != nil && t.created && !errors.Is(ctx.Err(), context.Canceled) {
		t.deleteCreatedGrant(ctx)
	}
	return err
}

// reached returns the ClusterProfile with only the access provider that the client was made from.
// The mark of a leaving member is in the Secret of that access provider. The access provider of a
// cached profile may name an earlier Secret.
func (t *task) reached() *inventoryv1alpha1.ClusterProfile {
	profile := *t.profile
	profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{t.client.Provider()}
	return &profile
}

func (t *task) ensure(ctx context.Context) (ready *grant.Ensured, err error) {
	timeout := t.RequestTimeout
	if grant.IsChanging(t.grant) {
		// Tokens with the earlier roles may have to end first.
		timeout += grant.TokenCacheTTL
	}
	ctx, cancel := t.withTimeout(ctx, timeout)
	defer cancel()
	defer observePhase(phaseEnsure, t.Clock, t.Clock.Now(), &err)
	return t.keeper(t.grant).Ensure(ctx)
}

func (t *task) keeper(g *clusterpassv1alpha1.AuthTokenGrant) *grant.Keeper {
	return &grant.Keeper{HubID: t.HubID, Grant: g, Client: t.client.Kubernetes(), Clock: t.Clock, AuditID: t.request.AuditID}
}

// handleEnsureError returns the error for the requester after Ensure has failed with err. If this
// request has created the grant, and the member or clusterpass has refused, it deletes the grant.
// Otherwise it records the error in the condition Ready of the grant, unless the requester has
// cancelled the request.
func (t *task) handleEnsureError(ctx context.Context, err error) error {
	failure := grant.MemberError(t.client, err, "prepare ServiceAccount "+grant.Account(t.grant).String())
	denied, _ := member.IsDenied(err)
	reason := clusterpassv1alpha1.GrantReasonMemberFailed
	if grant.IsRefused(err) {
		reason = clusterpassv1alpha1.GrantReasonRefused
	}
	switch {
	case t.created && (denied || grant.IsRefused(err)):
		t.deleteCreatedGrant(ctx)
		return failure
	case errors.Is(ctx.Err(), context.Canceled):
		return failure
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err = t.amend(ctx, func(next *clusterpassv1alpha1.AuthTokenGrant) {
		setReady(next, metav1.ConditionFalse, reason, failure.Error())
	})
	switch {
	case apierrors.IsConflict(err):
		t.removeStaleObjects(ctx)
	case err != nil:
		klog.FromContext(ctx).Error(err, "Could not note on a grant that it failed", "grant", klog.KObj(t.grant))
	}
	return failure
}

// deleteCreatedGrant deletes the grant that this request has created, and its objects on the
// member, after a refusal of Ensure or an error of confirmNotLeaving. Otherwise, the grant
// would keep the name of its ServiceAccount. It keeps a grant that has changed, because an equal
// request may have a token for it. If it fails after the grant is marked as deleted, the controller
// manager removes the rest.
func (t *task) deleteCreatedGrant(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	err := t.Grants.Delete(ctx, t.grant)
	if apierrors.IsConflict(err) {
		return
	}
	if err == nil {
		err = t.keeper(t.grant).Remove(ctx, grant.AllObjects(t.grant))
	}
	if err == nil {
		err = t.removeFinalizer(ctx)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to take back what a refused request had made",
			"grant", klog.KObj(t.grant))
	}
}

// removeFinalizer removes the finalizer of the grant, which is marked as deleted and has no objects
// on the member any more.
func (t *task) removeFinalizer(ctx context.Context) error {
	live, err := t.Grants.Live(ctx, t.grant.Namespace, t.grant.Name)
	if err == nil && live.UID == t.grant.UID {
		live.Finalizers = slices.DeleteFunc(live.Finalizers, func(f string) bool { return f == clusterpassv1alpha1.GrantFinalizer })
		_, err = t.Grants.Update(ctx, live)
	}
	return utilerrors.FilterOut(err, apierrors.IsNotFound)
}

// removeStaleObjects removes the objects that this request has created on the member and that the
// grant, as the hub stores it now, does not name.
func (t *task) removeStaleObjects(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if _, err := t.keeper(t.grant).Confirm(ctx, t.Grants.Live); err != nil {
		klog.FromContext(ctx).Error(err, "Left it to the controller manager to remove what was made for a grant while it changed",
			"grant", klog.KObj(t.grant))
	}
}
