// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

const (
	// attempts bounds how often a request reads a grant that other requests change at the same time.
	attempts = 5
	// revocationWait is the Retry-After, in seconds, while a grant of the same name is being revoked.
	revocationWait = 15
	// ceilingStep is how far beyond the token's expiry the ceiling of a grant is set, so that not
	// every token needs an update of the grant.
	ceilingStep = 2 * time.Hour
)

var authTokenGrants = clusterpassv1alpha1.Resource("authtokengrants")

// errRetry says that a request must start again, with new reads: the grant has changed on the hub,
// an equal request has just created its ServiceAccount, or the ServiceAccount or the Secret is gone
// from the member.
var errRetry = errors.New("the grant has changed meanwhile")

// storeGrant finds the grant of the request on the hub, updates it, or creates it, and sets
// t.grant.
func (t *task) storeGrant(ctx context.Context) (err error) {
	defer observePhase(phaseRecord, t.Clock, t.Clock.Now(), &err)
	ctx, cancel := t.withTimeout(ctx, t.RequestTimeout)
	defer cancel()
	for range attempts {
		if t.grant, err = t.storeGrantOnce(ctx); !errors.Is(err, errRetry) {
			return err
		}
	}
	return t.newConflict("other requests are changing it; try again")
}

// storeGrantOnce is one attempt of storeGrant. It returns errRetry if another attempt may succeed.
func (t *task) storeGrantOnce(ctx context.Context) (*clusterpassv1alpha1.AuthTokenGrant, error) {
	live, err := t.Grants.Live(ctx, t.want.Namespace, t.want.Name)
	switch {
	case apierrors.IsNotFound(err):
		return t.create(ctx)
	case err != nil:
		return nil, err
	case live.DeletionTimestamp != nil:
		conflict := t.newConflict("it is being revoked; try again when that is done")
		conflict.ErrStatus.Details.RetryAfterSeconds = revocationWait
		return nil, conflict
	case !grant.IsFor(live, t.want):
		return nil, t.newConflict("its name belongs to a grant for another ServiceAccount or another cluster; choose another ServiceAccount name")
	case grant.SetOf(live) != grant.SetOf(t.want):
		// Requests of a set use only grants of that set, and requests of users only grants of no set.
		return nil, t.newConflict("its ServiceAccount belongs to %s; choose another ServiceAccount name", ownerOf(live))
	}
	if err := grant.CheckMember(live, t.want.Status.MemberUID); err != nil {
		return nil, err
	}
	if difference(live, t.want) == "" {
		return live, nil
	}
	g, err := t.update(ctx, live)
	if of := live.Spec.Requester.Username; err == nil && t.request.Owner == nil && of != t.request.User.GetName() {
		t.warnings = append(t.warnings, fmt.Sprintf(
			"the earlier tokens of ServiceAccount %s, requested by user %q, have ended: its rights have changed", grant.Account(live), of))
	}
	return g, err
}

// ownerOf says whose requests a grant is for.
func ownerOf(g *clusterpassv1alpha1.AuthTokenGrant) string {
	set := grant.SetOf(g)
	if set == "" {
		return "requests of users"
	}
	if owner := metav1.GetControllerOfNoCopy(g); owner != nil && owner.UID == set {
		return owner.Kind + " " + owner.Name
	}
	return "a ClusterCredentialSet"
}

// create stores a new grant. It first checks what it can, so that a request that cannot succeed
// leaves no grant.
func (t *task) create(ctx context.Context) (*clusterpassv1alpha1.AuthTokenGrant, error) {
	if err := t.checkCount(ctx); err != nil {
		return nil, err
	}
	keeper := t.keeper(t.want)
	if err := errors.Join(keeper.CheckAccount(ctx), keeper.CheckRoles(ctx)); err != nil {
		if _, liveErr := t.Grants.Live(ctx, t.want.Namespace, t.want.Name); liveErr == nil {
			// The ServiceAccount exists because an equal request has just created it.
			return nil, errRetry
		}
		return nil, grant.MemberError(t.client, err, "look up what the request names")
	}
	// Whoever removes the member waits only for the grants that exist when it lists them. So create
	// none after that.
	if err := checkNotLeaving(t.profile.Name, t.Members.CachedLeaving(t.reached())); err != nil {
		return nil, err
	}
	created, err := t.Grants.Create(ctx, t.want)
	if apierrors.IsAlreadyExists(err) {
		return nil, errRetry
	}
	t.created = err == nil
	return created, err
}

// checkCount returns 403 if the namespace has MaxGrants grants or more.
func (t *task) checkCount(ctx context.Context) error {
	count, err := t.Grants.Count(ctx, t.want.Namespace)
	if err == nil && count >= t.MaxGrants {
		count, err = t.Grants.CountStored(ctx, t.want.Namespace)
	}
	switch {
	case err != nil:
		return apierrors.NewInternalError(fmt.Errorf("counting the grants of namespace %s: %w", t.want.Namespace, err))
	case count >= t.MaxGrants:
		return apierrors.NewForbidden(authTokenGrants, t.want.Name, fmt.Errorf(
			"namespace %s has %d grants and may have %d: revoke some, or have --max-grants-per-namespace raised",
			t.want.Namespace, count, t.MaxGrants))
	}
	return nil
}

// update changes the spec of a grant to that of the request, if the requester may update the grant.
// It first ends the existing tokens, so that none of them gets the new roles or keeps the old ones.
func (t *task) update(ctx context.Context, live *clusterpassv1alpha1.AuthTokenGrant) (*clusterpassv1alpha1.AuthTokenGrant, error) {
	if t.request.Owner == nil {
		if err := t.authorizeUpdate(ctx, live); err != nil {
			return nil, err
		}
	}
	next := live.DeepCopy()
	next.Spec = t.want.Spec
	t.noteSet(next)
	next.Status.MemberObjects = grant.Union(grant.AllObjects(live), grant.Objects(next))
	next.Status.AccessProvider = t.want.Status.AccessProvider
	setReady(next, metav1.ConditionFalse, clusterpassv1alpha1.GrantReasonPending, "the member cluster does not have the new roles yet")
	keeper := t.keeper(next)
	if err := errors.Join(keeper.CheckRoles(ctx), keeper.CheckBindings(ctx)); err != nil {
		return nil, grant.MemberError(t.client, err, "bind what the request names")
	}
	if err := t.keeper(live).EndTokens(ctx); err != nil {
		return nil, grant.MemberError(t.client, err, "end the earlier tokens of the grant")
	}
	updated, err := t.Grants.Update(ctx, next)
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil, errRetry
	}
	return updated, err
}

// authorizeUpdate returns nil if the requester may update the grant. Otherwise it returns 409 with
// the difference between the grant and the request.
func (t *task) authorizeUpdate(ctx context.Context, live *clusterpassv1alpha1.AuthTokenGrant) error {
	decision, _, err := t.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: t.request.User, Verb: "update", Namespace: live.Namespace, Name: live.Name, ResourceRequest: true,
		APIGroup: authTokenGrants.Group, APIVersion: clusterpassv1alpha1.SchemeGroupVersion.Version, Resource: authTokenGrants.Resource,
	})
	switch {
	case decision == authorizer.DecisionAllow:
		return nil
	case err != nil:
		return apierrors.NewInternalError(fmt.Errorf("review of update on %s: %w", authTokenGrants, err))
	}
	return t.newConflict("it was made for a request with other rights (%s), and user %q may not update it; "+
		"choose another ServiceAccount name, or ask for the same", difference(live, t.want), t.request.User.GetName())
}

// recordEnsured records on the grant that the member has all its objects, and raises its ceiling
// for the token. If the grant was deleted or changed since t.grant was read, recordEnsured returns
// 409, and removes the stale objects from the member.
func (t *task) recordEnsured(ctx context.Context, ready *grant.Ensured) (err error) {
	defer observePhase(phaseRecord, t.Clock, t.Clock.Now(), &err)
	// A grant without a member's UID is on this member if its ServiceAccount existed there already, or
	// if no member ever had it. Otherwise it may be on another cluster.
	isHere := ready.AccountFound || t.grant.Status.ObservedGeneration == 0 || t.joined() != "" || t.client.Joined() != ""
	err = t.amend(ctx, func(next *clusterpassv1alpha1.AuthTokenGrant) {
		next.Status.ObservedGeneration = next.Generation
		next.Status.MemberObjects = grant.Objects(next)
		next.Status.AccessProvider = t.want.Status.AccessProvider
		if next.Status.MemberUID == "" && isHere {
			next.Status.MemberUID = t.want.Status.MemberUID
		}
		setReady(next, metav1.ConditionTrue, clusterpassv1alpha1.GrantReasonEnsured, grant.EnsuredMessage)
		t.raiseCeiling(next)
	})
	if apierrors.IsConflict(err) {
		t.removeStaleObjects(ctx)
	}
	return err
}

// amend reads the grant from the hub, changes it with mutate, updates it if it differs, and sets
// t.grant. It returns 409 if the grant is deleted, is being deleted, or has another spec than
// t.grant.
func (t *task) amend(ctx context.Context, mutate func(next *clusterpassv1alpha1.AuthTokenGrant)) error {
	for range attempts {
		live, err := t.Grants.Live(ctx, t.grant.Namespace, t.grant.Name)
		switch {
		case apierrors.IsNotFound(err), err == nil && !grant.IsCurrent(live, t.grant):
			return t.newConflict("it has been revoked or changed meanwhile")
		case err != nil:
			return err
		}
		next := live.DeepCopy()
		mutate(next)
		t.noteSet(next)
		if !equality.Semantic.DeepEqual(live, next) {
			live, err = t.Grants.Update(ctx, next)
		}
		if err == nil {
			t.grant = live
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return t.newConflict("other requests are changing it; try again")
}

// covers returns whether the requested token expires before the ceiling of g.
func (t *task) covers(g *clusterpassv1alpha1.AuthTokenGrant) bool {
	ceiling := g.Status.ExpirationCeiling
	return ceiling != nil && !ceiling.Time.Before(t.Clock.Now().Add(t.expiration+maxClockLead))
}

// raiseCeiling raises the ceiling of g, unless g covers the requested token.
func (t *task) raiseCeiling(g *clusterpassv1alpha1.AuthTokenGrant) {
	if t.covers(g) {
		return
	}
	now := t.Clock.Now()
	g.Status.ExpirationCeiling = ptr.To(metav1.NewTime(now.Add(t.expiration + ceilingStep)))
	g.Status.LastIssuedTime = ptr.To(metav1.NewTime(now))
	g.Status.LastRequester = ptr.To(t.want.Spec.Requester)
}

func setReady(g *clusterpassv1alpha1.AuthTokenGrant, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&g.Status.Conditions, metav1.Condition{
		Type: clusterpassv1alpha1.GrantReady, Status: status, Reason: reason, Message: message, ObservedGeneration: g.Generation,
	})
}

// newConflict returns 409 about the grant of the request.
func (t *task) newConflict(format string, args ...any) *apierrors.StatusError {
	return apierrors.NewConflict(authTokenGrants, t.want.Name, fmt.Errorf(format, args...))
}

// difference describes how the roles and audiences of granted and want differ. It is empty if they
// are equal.
func difference(granted, want *clusterpassv1alpha1.AuthTokenGrant) string {
	var all []string
	add := func(field string, same bool, granted, want []string) {
		if !same {
			all = append(all, fmt.Sprintf("%s: granted %v, asked for %v", field, granted, want))
		}
	}
	g, w := granted.Spec, want.Spec
	add("clusterRoles", equality.Semantic.DeepEqual(g.ClusterRoles, w.ClusterRoles), roleList(grant.Roles(g.ClusterRoles, nil)),
		roleList(grant.Roles(w.ClusterRoles, nil)))
	add("roles", equality.Semantic.DeepEqual(g.Roles, w.Roles), roleList(grant.Roles(nil, g.Roles)), roleList(grant.Roles(nil, w.Roles)))
	add("audiences", equality.Semantic.DeepEqual(g.Audiences, w.Audiences), g.Audiences, w.Audiences)
	return strings.Join(all, "; ")
}

func roleList(roles []grant.Role) []string {
	var all []string
	for _, role := range roles {
		text := role.String()
		if !role.IsExisting() {
			text += fmt.Sprintf(" (%d rules)", len(role.Rules))
		}
		all = append(all, text)
	}
	return all
}
