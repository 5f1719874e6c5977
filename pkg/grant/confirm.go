// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Store has the grants of the hub.
type Store interface {
	// Live returns a grant as it is stored. That there is none is an error for which apierrors.IsNotFound holds, and no other is.
	Live(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error)
}

// IsCurrent returns whether now, a grant as it is stored, is still g: not another of that name, with the same spec, and not being deleted.
func IsCurrent(now, g *v1alpha1.AuthTokenGrant) bool {
	return now.UID == g.UID && now.Generation == g.Generation && now.DeletionTimestamp == nil
}

// Confirm is for whoever has called Ensure, and has not stored since that the member has the grant: one that was deleted or changed meanwhile
// is not resurrected. It returns the grant as it is stored, where that still is the one of k. Where it is not, it removes from the member what
// Ensure has made and the grant as it is now does not name, and returns nil. Errors are those of the store, and of Remove.
func (k *Keeper) Confirm(ctx context.Context, store Store) (*v1alpha1.AuthTokenGrant, error) {
	now, err := store.Live(ctx, k.Grant.Namespace, k.Grant.Name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, k.withdraw(ctx, nil)
	case err != nil:
		return nil, err
	case IsCurrent(now, k.Grant):
		return now, nil
	}
	return nil, k.withdraw(ctx, now)
}

// withdraw removes what a call of Ensure has made that the grant, as it is now on the hub, does not name; now is
// nil if it is gone. While it is being revoked, its ServiceAccount stays for as long as EndRights says.
func (k *Keeper) withdraw(ctx context.Context, now *v1alpha1.AuthTokenGrant) error {
	switch {
	case now == nil || now.UID != k.Grant.UID:
		return k.Remove(ctx, AllObjects(k.Grant))
	case now.DeletionTimestamp != nil:
		return k.EndRights(ctx)
	default:
		return k.Remove(ctx, Without(AllObjects(k.Grant), Objects(now)))
	}
}
