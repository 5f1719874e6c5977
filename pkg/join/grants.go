// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

// abandonPatch lets a grant go although its member cannot be reached.
var abandonPatch = []byte(`{"metadata":{"annotations":{"` + clusterpassv1alpha1.AnnotationAbandonMember + `":"true"}}}`)

// ending ends the grants for profiles: it deletes them, and waits until all are gone, which is
// when none of their tokens works any more.
type ending struct {
	*joiner
	// of are the ClusterProfiles that the grants are for.
	of []types.NamespacedName
	// only selects grants; nil: all.
	only func(*clusterpassv1alpha1.AuthTokenGrant) bool
	// abandon lets them go without revoking them on the member.
	abandon bool
	// progress is how far each has come, by UID.
	progress map[types.UID]*progress
	// left are those that were there when they were last listed.
	left []*clusterpassv1alpha1.AuthTokenGrant
}

// progress is how far a grant is ended from here.
type progress struct {
	// begun says that it was deleted.
	begun bool
	// rightsEnded is when it lost its rights on the member; removed says that nothing is left there.
	// Both are set only where the hub could not do that.
	rightsEnded time.Time
	removed     bool
}

// endGrants ends the grants for profiles, in whatever namespace and whatever UIDs they had: all, or
// those that only selects.
func (j *joiner) endGrants(
	ctx context.Context, of []types.NamespacedName, only func(*clusterpassv1alpha1.AuthTokenGrant) bool, abandon bool,
) error {
	e := &ending{joiner: j, of: of, only: only, abandon: abandon, progress: map[types.UID]*progress{}}
	if err := e.step(ctx); err != nil || len(e.left) == 0 || j.DryRun != DryRunNone {
		return err
	}
	fmt.Fprintln(j.Out, "hub: waiting until the tokens have ended")
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, j.Timeout, false, func(ctx context.Context) (bool, error) {
		err := e.step(ctx)
		if err != nil && ctx.Err() != nil {
			return false, nil //nolint:nilerr // What was cut off says nothing.
		}
		// The server may be away for a moment.
		last = err
		return last == nil && len(e.left) == 0, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return e.timeout(last)
	}
	return err
}

// step deletes what grants there are: one that was asked for just before the member was marked as
// leaving may come late.
func (e *ending) step(ctx context.Context) error {
	grants, err := e.grants(ctx, e.of...)
	if err != nil {
		return err
	}
	e.left = nil
	for i := range grants {
		g := &grants[i]
		if e.only != nil && !e.only(g) {
			continue
		}
		e.left = append(e.left, g)
		p := e.progress[g.UID]
		if p == nil {
			p = &progress{}
			e.progress[g.UID] = p
		}
		if !p.begun {
			if err := e.begin(ctx, g); err != nil {
				return err
			}
			p.begun = true
		}
		if err := e.clean(ctx, g, p); err != nil {
			return err
		}
	}
	return nil
}

func (e *ending) begin(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) error {
	if e.abandon {
		if err := e.letGo(ctx, g); err != nil {
			return err
		}
	}
	if g.DeletionTimestamp != nil {
		return nil
	}
	return e.hub.remove(ctx, grantKind, g)
}

// grants returns the grants for profiles.
func (j *joiner) grants(ctx context.Context, of ...types.NamespacedName) ([]clusterpassv1alpha1.AuthTokenGrant, error) {
	var grants []clusterpassv1alpha1.AuthTokenGrant
	for _, profile := range of {
		found, err := j.hub.list(ctx, grantKind, metav1.NamespaceAll, metav1.ListOptions{FieldSelector: fields.Set{
			"spec.clusterProfile.namespace": profile.Namespace, "spec.clusterProfile.name": profile.Name,
		}.String()})
		if err != nil {
			return nil, err
		}
		for i := range found {
			var g clusterpassv1alpha1.AuthTokenGrant
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found[i].Object, &g); err != nil {
				return nil, fmt.Errorf("hub: %s: %w", refOf(&found[i]), err)
			}
			grants = append(grants, g)
		}
	}
	return grants, nil
}

// letGo annotates a grant to be let go.
func (j *joiner) letGo(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) error {
	what := ref(grantKind, g.Namespace, g.Name)
	if j.DryRun == DryRunNone {
		_, err := j.hub.resource(grantKind, g.Namespace).Patch(ctx, g.Name, types.MergePatchType, abandonPatch,
			metav1.PatchOptions{FieldManager: FieldManager})
		if err != nil && !apierrors.IsNotFound(err) {
			return j.hub.failed("annotate", what, err)
		}
	}
	j.hub.did("abandoned", what)
	return nil
}

// timeout says what is left, why, and what to do. last is why it was not known whether anything
// was, or nil.
func (e *ending) timeout(last error) error {
	if len(e.left) == 0 {
		return last
	}
	names := make([]string, 0, len(e.left))
	failed := e.noSecret
	for _, g := range e.left {
		name := g.Namespace + "/" + g.Name
		if condition := apimeta.FindStatusCondition(g.Status.Conditions, clusterpassv1alpha1.GrantRevoked); condition != nil {
			name += fmt.Sprintf(" (%s: %s)", condition.Reason, condition.Message)
		}
		names = append(names, name)
		failed = failed || hasFailed(g)
	}
	advice := "They are being revoked: run the same command again to wait for the rest. " +
		"If nothing changes, check that clusterpass-controller-manager runs on the hub"
	switch {
	case failed && e.member == nil:
		advice = "If you can reach the member, run the command again with --member-context: " +
			"what the hub can't revoke is then removed from there. If the member is gone for ever, abandon its grants with --abandon-member"
	case failed:
		advice = "Remove the cause, and run the same command again"
	}
	err := fmt.Errorf("hub: not revoked within %s: %s\n%s", e.Timeout, strings.Join(names, "; "), advice)
	return errors.Join(err, last)
}

// hasFailed returns whether the hub could not revoke a grant when it last tried.
func hasFailed(g *clusterpassv1alpha1.AuthTokenGrant) bool {
	condition := apimeta.FindStatusCondition(g.Status.Conditions, clusterpassv1alpha1.GrantRevoked)
	return condition != nil && condition.Reason == clusterpassv1alpha1.GrantReasonMemberFailed
}

// clean ends a grant on the member that the hub could not: its credential may have ended there, or
// the member may no longer allow what it takes. It does so in the order and with the wait that the
// hub keeps, and lets the grant go when nothing is left of it.
func (e *ending) clean(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, p *progress) error {
	if e.member == nil || e.abandon || p.removed || !hasFailed(g) {
		return nil
	}
	keeper, err := e.keeper(ctx, g)
	if err != nil {
		return err
	}
	what := "what " + ref(grantKind, g.Namespace, g.Name) + " owns"
	switch {
	case e.DryRun != DryRunNone: // nothing is done
	case p.rightsEnded.IsZero():
		if err := keeper.EndRights(ctx); err != nil {
			return e.member.failed("delete", what, err)
		}
		p.rightsEnded = time.Now()
		return nil
	case time.Since(p.rightsEnded) < grant.TokenCacheTTL:
		return nil
	default:
		if err := keeper.Remove(ctx, grant.AllObjects(g)); err != nil {
			return e.member.failed("delete", what, err)
		}
	}
	e.member.did("deleted", what)
	p.removed = true
	return e.letGo(ctx, g)
}

// keeper returns what removes the objects of a grant, and no others. On a member that is another
// one than the grant's it would find nothing and take that for done: it is an error that nothing
// shows the member to be the grant's.
func (j *joiner) keeper(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant) (*grant.Keeper, error) {
	hubID, err := j.serverHubID(ctx)
	if err != nil {
		return nil, err
	}
	k := &grant.Keeper{HubID: hubID, Grant: g, Client: j.member.kube, Clock: clock.RealClock{}}
	of := g.Spec.ServiceAccount
	account, err := j.member.get(ctx, accountKind, of.Namespace, of.Name)
	switch {
	case err != nil:
		return nil, err
	case g.Status.MemberUID != "" && g.Status.MemberUID != types.UID(j.memberID):
		return nil, fmt.Errorf(
			"member: authtokengrant %s/%s is on another cluster: the UID of the namespace kube-system there is %s, and the member's is %s. "+
				"If the grant's cluster is gone for ever, abandon it with --abandon-member", g.Namespace, g.Name, g.Status.MemberUID, j.memberID)
	case account != nil && account.GetLabels()[grant.LabelGrantUID] == string(g.UID):
		k.HubID = account.GetLabels()[grant.LabelHubID]
	case !j.sameMember && g.Status.MemberUID == "":
		return nil, fmt.Errorf("member: nothing shows that it is the cluster of authtokengrant %s/%s: neither ClusterProfile %s nor its Secret "+
			"has the UID of the member's namespace kube-system, and the member has no ServiceAccount of that grant. "+
			"If this grant's cluster is gone for ever, abandon it with --abandon-member", g.Namespace, g.Name, j.profileName())
	}
	return k, nil
}

// serverHubID returns the id that what grants own on members carries. The server may have been
// given another one than what join has made carries. Who may not read the server's Deployment goes
// by the latter.
func (j *joiner) serverHubID(ctx context.Context) (string, error) {
	id, err := grant.ServerHubID(ctx, j.hub.kube)
	if apierrors.IsForbidden(err) {
		return j.hubID, nil
	}
	return id, err
}
