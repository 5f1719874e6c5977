// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

func TestKeeper_Confirm(t *testing.T) {
	tests := map[string]struct {
		// change makes of the grant what is stored; it is nil if there is none.
		change func(g *v1alpha1.AuthTokenGrant)
		err    error
		// current says that the grant is returned, and left are the kinds that the member has then.
		current bool
		left    []string
	}{
		"a grant that is as it was stays": {change: func(*v1alpha1.AuthTokenGrant) {}, current: true, left: allKinds},
		"one with another status, too": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Status.ExpirationCeiling = &metav1.Time{} }, current: true, left: allKinds,
		},
		"one that is gone is not resurrected": {left: nil},
		"nor one that was made again":         {change: func(g *v1alpha1.AuthTokenGrant) { g.UID = "another" }, left: nil},
		"of one that is being deleted the ServiceAccount stays": {
			change: func(g *v1alpha1.AuthTokenGrant) { now := metav1.Now(); g.DeletionTimestamp = &now }, left: []string{"ServiceAccount"},
		},
		"of one with fewer roles they stay": {
			change: func(g *v1alpha1.AuthTokenGrant) { g.Generation++; g.Spec.ClusterRoles = nil }, left: []string{"RoleBinding", "Role", "ServiceAccount"},
		},
		"what is not known changes nothing": {err: errors.New("the hub does not answer"), left: allKinds},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g, _, client := ensured(t)
			keeper := &grant.Keeper{HubID: "hub", Grant: g, Client: client, Clock: clock.RealClock{}}
			now, err := keeper.Confirm(t.Context(), func(context.Context, string, string) (*v1alpha1.AuthTokenGrant, error) {
				if test.err != nil {
					return nil, test.err
				}
				if test.change == nil {
					return nil, apierrors.NewNotFound(v1alpha1.Resource("authtokengrants"), g.Name)
				}
				stored := g.DeepCopy()
				test.change(stored)
				return stored, nil
			})
			require.ErrorIs(t, err, test.err)
			assert.Equal(t, test.current, now != nil)
			assert.Equal(t, test.left, kinds(list(t, client, "hub")))
		})
	}
}
