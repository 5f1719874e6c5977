// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/pager"
	"k8s.io/utils/clock"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

// cleaning is how far a grant is ended on the member by whoever joins it or takes it out.
type cleaning struct {
	rightsEnded time.Time
	done        bool
}

// clean ends a grant on the member that the hub could not: its credential may have ended there, or
// the member may no longer allow what it takes. It does so in the order and with the wait that the
// hub keeps, and lets the grant go when nothing is left of it.
func (e *ending) clean(ctx context.Context, g *clusterpassv1alpha1.AuthTokenGrant, o *unstructured.Unstructured) error {
	if e.member == nil || e.abandon || !hasFailed(g) {
		return nil
	}
	state := e.cleaned[g.UID]
	if state == nil {
		state = &cleaning{}
		e.cleaned[g.UID] = state
	}
	if state.done {
		return nil
	}
	keeper, err := e.keeper(ctx, g)
	if err != nil {
		return err
	}
	what := "what " + refOf(o) + " owns"
	if e.DryRun != DryRunNone {
		e.report.did("member", "deleted", what)
		state.done = true
		return e.letGo(ctx, o)
	}
	if state.rightsEnded.IsZero() {
		if err := keeper.EndRights(ctx); err != nil {
			return e.member.failed("delete", what, err)
		}
		state.rightsEnded = time.Now()
	}
	if time.Since(state.rightsEnded) < grant.TokenCacheTTL {
		return nil
	}
	if err := keeper.Remove(ctx, grant.AllObjects(g)); err != nil {
		return e.member.failed("delete", what, err)
	}
	e.report.did("member", "deleted", what)
	state.done = true
	return e.letGo(ctx, o)
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
	account, err := j.member.kube.CoreV1().ServiceAccounts(of.Namespace).Get(ctx, of.Name, metav1.GetOptions{})
	switch {
	case err != nil && !apierrors.IsNotFound(err):
		return nil, j.member.failed("read", "serviceaccount/"+of.Name+" in "+of.Namespace, err)
	case g.Status.MemberUID != "" && g.Status.MemberUID != types.UID(j.memberID):
		return nil, fmt.Errorf(
			"member: authtokengrant %s/%s is on another cluster: the UID of the namespace kube-system there is %s, and the member's is %s. "+
				"If the grant's cluster is gone for ever, abandon it with --abandon-member", g.Namespace, g.Name, g.Status.MemberUID, j.memberID)
	case err == nil && account.Labels[grant.LabelGrantUID] == string(g.UID):
		k.HubID = account.Labels[grant.LabelHubID]
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

// removeOrphans removes from the member what this hub's grants have left there that are gone: those
// that were let go when the member was taken for gone for ever. Their ServiceAccounts would keep
// their names from new grants. What another hub has is left alone.
func (j *joiner) removeOrphans(ctx context.Context) error {
	hubID, err := j.serverHubID(ctx)
	if err != nil {
		return err
	}
	found, err := grant.List(ctx, j.member.kube, hubID)
	if err != nil {
		return j.member.failed("list", "what grants own", err)
	}
	objects := found.Objects()
	if len(objects) == 0 {
		return nil
	}
	// A grant is stored before anything is made for it: what was found, and belongs to none that is
	// stored now, belongs to none.
	stored, err := j.storedGrants(ctx)
	if apierrors.IsForbidden(err) {
		j.report.found("member", "what grants have left there", "left to the hub: you may not list its authtokengrants")
		return nil
	}
	if err != nil {
		return err
	}
	var accounts []grant.Object
	for _, o := range objects {
		switch {
		case stored.Has(o.Grant):
		case o.Kind == kindServiceAccount:
			accounts = append(accounts, o)
		default:
			if err := j.removeOrphan(ctx, o); err != nil {
				return err
			}
		}
	}
	return j.removeAccounts(ctx, hubID, accounts)
}

// removeAccounts removes ServiceAccounts of grants that are gone: their tokens end before others
// can have accounts of these names.
func (j *joiner) removeAccounts(ctx context.Context, hubID string, accounts []grant.Object) error {
	if len(accounts) > 0 && j.DryRun == DryRunNone {
		for _, o := range accounts {
			g := &clusterpassv1alpha1.AuthTokenGrant{ObjectMeta: metav1.ObjectMeta{UID: o.Grant}}
			g.Spec.ServiceAccount = clusterpassv1alpha1.GrantedServiceAccount{Namespace: o.Namespace, Name: o.Name}
			if err := (&grant.Keeper{HubID: hubID, Grant: g, Client: j.member.kube, Clock: clock.RealClock{}}).EndTokens(ctx); err != nil {
				return j.member.failed("delete", "the secret of serviceaccount/"+o.Name+" in "+o.Namespace, err)
			}
		}
		fmt.Fprintf(j.Out, "member: waiting %s until the tokens of deleted grants have ended\n", grant.TokenCacheTTL)
		select {
		case <-time.After(grant.TokenCacheTTL):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, o := range accounts {
		if err := j.removeOrphan(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (j *joiner) removeOrphan(ctx context.Context, o grant.Object) error {
	what := o.Kind + " " + o.Name + " of a grant that is gone"
	if o.Namespace != "" {
		what = o.Kind + " " + o.Name + " in " + o.Namespace + " of a grant that is gone"
	}
	if j.DryRun == DryRunNone {
		if err := grant.RemoveExactly(ctx, j.member.kube, o); err != nil {
			return j.member.failed("delete", what, err)
		}
	}
	j.report.did("member", "deleted", what)
	return nil
}

// storedGrants returns the UIDs of all grants of the hub.
func (j *joiner) storedGrants(ctx context.Context) (sets.Set[types.UID], error) {
	client, err := j.hub.resource(grantKind, metav1.NamespaceAll)
	if err != nil {
		return nil, err
	}
	all := sets.New[types.UID]()
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return client.List(ctx, options)
	})
	err = pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
		if g, ok := o.(*unstructured.Unstructured); ok {
			all.Insert(g.GetUID())
		}
		return nil
	})
	if err != nil {
		return nil, j.hub.failed("list", "authtokengrants", err)
	}
	return all, nil
}
