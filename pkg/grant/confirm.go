// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// Store reads the grants of the hub.
type Store interface {
	// Live returns a grant with a read from the hub's storage. Its error satisfies
	// apierrors.IsNotFound only if there is no such grant.
	Live(ctx context.Context, namespace, name string) (*v1alpha1.AuthTokenGrant, error)
}

// IsCurrent returns whether now, a grant as the hub stores it, is still g: the same object with the
// same spec, and not being deleted.
func IsCurrent(now, g *v1alpha1.AuthTokenGrant) bool {
	return now.UID == g.UID && now.Generation == g.Generation && now.DeletionTimestamp == nil
}

// Confirm checks, after a call of Ensure, that the hub still stores the grant of k, and returns the
// stored grant. It prevents that a grant that was deleted or changed meanwhile comes back on the
// member. Call it unless the hub already stores that the member has the grant. If the grant was
// deleted or changed, Confirm removes from the member what Ensure has made and the stored grant
// does not name, and returns nil. Errors are those of the store and of Remove.
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

// withdraw removes what Ensure has made and the stored grant does not name. now is the stored
// grant, or nil if it is gone. While the grant is being revoked, its ServiceAccount stays, as
// EndRights explains.
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
