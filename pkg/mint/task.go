// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
)

// task is one request that was found entitled to what it asks for.
type task struct {
	*Minter
	request Request
	client  *member.Client
	// joined is the UID of the member that the ClusterProfile was joined with, where it says so.
	joined types.UID
	// want is the grant that the request takes, as it would be created.
	want *clusterpassv1alpha1.AuthTokenGrant
	// warnings are for the requester.
	warnings []string
}

func (m *Minter) newTask(r Request, to *target) *task {
	want := grant.New(r.Namespace, r.Spec, to.profile, requester(r.User))
	provider := to.client.Provider()
	want.Status.AccessProvider = &provider
	if r.Owner != nil {
		want.OwnerReferences = []metav1.OwnerReference{*r.Owner}
	}
	t := &task{Minter: m, request: r, client: to.client, joined: to.joined, want: want}
	t.noteSet(want)
	return t
}

// mayUse returns whether the request may use g. Requests of a set use only grants of that set, and
// requests of users only grants of no set.
func (t *task) mayUse(g *clusterpassv1alpha1.AuthTokenGrant) bool {
	if t.request.Owner == nil {
		return grant.SetOf(g) == ""
	}
	return grant.SetOf(g) == t.request.Owner.UID
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

// run returns the grant and a token of it. What was verified lately is trusted, and
// costs one call to the member. If the member then says that it is gone, the request
// goes the cold way, once.
func (t *task) run(ctx context.Context, expiration int64) (*clusterpassv1alpha1.AuthTokenGrant, *issuedToken, error) {
	// The bodies of these calls hold tokens.
	ctx, cancel := t.withTimeout(member.Quiet(ctx), t.RequestTimeout+grant.TokenCacheTTL)
	defer cancel()
	if g, bound, ok := t.known(ctx); ok {
		g, token, err := t.runWarm(ctx, g, bound, expiration)
		if !errors.Is(err, errRaced) {
			return g, token, err
		}
		t.verified.Remove(keyOf(g))
	}
	return t.runCold(ctx, expiration)
}

// runWarm has a token issued for what is known. The grant is written to only where its ceiling is
// too low. It returns errRaced where what was known is no longer so.
func (t *task) runWarm(
	ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, bound grant.Bound, expiration int64,
) (*clusterpassv1alpha1.AuthTokenGrant, *issuedToken, error) {
	ctx, cancel := t.withTimeout(ctx, t.RequestTimeout)
	defer cancel()
	if !t.covers(g, expiration) {
		raised, err := t.amend(ctx, g, func(next *clusterpassv1alpha1.AuthTokenGrant) { t.raiseCeiling(next, expiration) })
		if apierrors.IsConflict(err) {
			return g, nil, errRaced
		}
		if err != nil {
			return g, nil, err
		}
		g = raised
	}
	token, err := t.issue(ctx, g, bound, expiration)
	if isGone(err) {
		return g, nil, errRaced
	}
	return g, token, t.memberError(err, "issue the token")
}

// withTimeout bounds ctx by a deadline of ours, which counts against the member.
func (t *task) withTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout,
		fmt.Errorf("cluster %s did not answer all calls within %s", t.client.Name(), timeout))
}

// known returns the grant, and what its tokens are issued for, where it is what is
// asked for and was verified lately. It calls nobody: whoever has ended the grant's tokens
// since has deleted the Secret on the member, and no token is issued for that one.
func (t *task) known(ctx context.Context) (*clusterpassv1alpha1.AuthTokenGrant, grant.Bound, bool) {
	g, err := t.Grants.Cached(ctx, t.want.Namespace, t.want.Name)
	if err != nil || g.DeletionTimestamp != nil || !grant.IsFor(g, t.want) || !t.mayUse(g) || difference(g, t.want) != "" {
		return nil, grant.Bound{}, false
	}
	value, ok := t.verified.Get(keyOf(g))
	if !ok {
		return nil, grant.Bound{}, false
	}
	bound, ok := value.(grant.Bound)
	return g, bound, ok
}

// runCold records the grant, has the member have all of it, and issues the token.
func (t *task) runCold(ctx context.Context, expiration int64) (*clusterpassv1alpha1.AuthTokenGrant, *issuedToken, error) {
	if err := t.identify(ctx); err != nil {
		return nil, nil, err
	}
	g, created, err := t.storeGrant(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := t.undoIfLeaving(ctx, g, created); err != nil {
		return nil, nil, err
	}
	ready, err := t.ensure(ctx, g)
	if err != nil {
		failure := t.memberError(err, "prepare ServiceAccount "+grant.Account(g).String())
		denied, _ := member.IsDenied(err)
		switch {
		case created && (denied || grant.IsRefused(err)):
			t.undo(ctx, g)
		case grant.IsRefused(err):
			t.giveUp(ctx, g, clusterpassv1alpha1.GrantReasonRefused, failure)
		default:
			t.giveUp(ctx, g, clusterpassv1alpha1.GrantReasonMemberFailed, failure)
		}
		return nil, nil, failure
	}
	g, err = t.recordEnsured(ctx, g, ready, expiration)
	if err != nil {
		return nil, nil, err
	}
	token, err := t.issue(ctx, g, ready.Bound, expiration)
	if err != nil {
		return nil, nil, t.memberError(err, "issue the token")
	}
	t.waitUsable(ctx, g, token, ready.Probes)
	t.verified.Add(keyOf(g), ready.Bound, verifiedTTL)
	return g, token, nil
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
	if uid != "" && t.joined != "" && uid != t.joined {
		return grant.NewOtherMember(t.want.Name, fmt.Sprintf(
			"ClusterProfile %s leads to another cluster than its annotation %s says: the UID of the namespace kube-system there is %s, "+
				"and not %s. Nothing was made there", grant.Cluster(t.want), member.MemberUIDAnnotation, uid, t.joined))
	}
	t.want.Status.MemberUID = uid
	return nil
}

// undoIfLeaving refuses the first token of a grant for a member that began to leave while the grant
// was stored, and takes back a grant that was created for it. A grant that had a token was seen by
// whoever removes the member.
func (t *task) undoIfLeaving(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, created bool) error {
	if g.Status.ExpirationCeiling != nil {
		return nil
	}
	err := t.checkLiveNotLeaving(ctx)
	// That a requester did not wait says nothing of the member.
	if err != nil && created && !errors.Is(ctx.Err(), context.Canceled) {
		t.undo(ctx, g)
	}
	return err
}

func (t *task) ensure(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) (ready *grant.Ensured, err error) {
	timeout := t.RequestTimeout
	if grant.IsChanging(g) {
		// The tokens of the roles that were may have to end first.
		timeout += grant.TokenCacheTTL
	}
	ctx, cancel := t.withTimeout(ctx, timeout)
	defer cancel()
	defer observePhase(phaseEnsure, t.Clock, t.Clock.Now(), &err)
	return t.keeper(g).Ensure(ctx)
}

func (t *task) keeper(g *clusterpassv1alpha1.AuthTokenGrant) *grant.Keeper {
	keeper := grant.NewKeeper(t.HubID, g, t.client.Kubernetes(), t.Clock)
	keeper.AuditID = grant.ValidAuditID(t.request.AuditID)
	return keeper
}

func keyOf(g *clusterpassv1alpha1.AuthTokenGrant) verifiedKey {
	return verifiedKey{uid: g.UID, generation: g.Generation}
}

// isGone returns whether a token could not be issued because what it is issued for
// or bound to is not, or no longer, on the member.
func isGone(err error) bool {
	return apierrors.IsNotFound(err) || apierrors.IsConflict(err)
}

// memberError maps the error of a call to the member to the one for the requester. One that is a
// refusal of ours goes through as it is; nil stays nil.
func (t *task) memberError(err error, doing string) error {
	if err == nil {
		return nil
	}
	if ours, ok := errors.AsType[*grant.RefusedError](err); ok {
		return ours.Status
	}
	return t.client.Error(err, doing)
}
