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
		j.member.found("what grants have left there", "left to the hub: you may not list its authtokengrants")
		return nil
	}
	if err != nil {
		return err
	}
	var accounts []grant.Object
	for _, o := range objects {
		switch {
		case stored.Has(o.Grant):
		case o.Kind == accountKind.Kind:
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
				return j.member.failed("delete", "the secret of "+ref(accountKind, o.Namespace, o.Name), err)
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
	j.member.did("deleted", what)
	return nil
}

// storedGrants returns the UIDs of all grants of the hub.
func (j *joiner) storedGrants(ctx context.Context) (sets.Set[types.UID], error) {
	pages := pager.New(func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return j.hub.resource(grantKind, metav1.NamespaceAll).List(ctx, options)
	})
	all := sets.New[types.UID]()
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(o runtime.Object) error {
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
