// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package mint

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
)

func viewing(r *Request) { r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "view"}} }

// The member fails to make what a grant takes, or somebody changes the grant while it does.
func TestMinter_MintFailed(t *testing.T) {
	bindings := rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings")
	answers := func(err error) func(*identityFixture, context.CancelFunc) error {
		return func(*identityFixture, context.CancelFunc) error { return err }
	}
	refuses := answers(apierrors.NewForbidden(bindings.GroupResource(), "", errors.New("no")))
	fails := answers(apierrors.NewInternalError(errors.New("out of order")))
	for name, test := range map[string]struct {
		// there says that the grant was there, and that somebody has deleted its binding.
		there bool
		// meanwhile is called when the binding is created; without an error, the member does that.
		meanwhile func(*identityFixture, context.CancelFunc) error
		// gone says that the grant is taken back, and reason is that of its condition Ready if it is not.
		gone   bool
		reason string
	}{
		"a new grant that is refused is taken back": {meanwhile: refuses, gone: true},
		"one that was there is kept":                {there: true, meanwhile: refuses, reason: clusterpassv1alpha1.GrantReasonRefused},
		"a new grant that may yet be made is kept":  {meanwhile: fails, reason: clusterpassv1alpha1.GrantReasonMemberFailed},
		"a requester who does not wait says nothing of the member": {there: true, reason: clusterpassv1alpha1.GrantReasonEnsured,
			meanwhile: func(_ *identityFixture, cancel context.CancelFunc) error {
				cancel()
				return apierrors.NewInternalError(errors.New("nobody waits for this"))
			}},
		"what is made for a grant that changes is removed": {meanwhile: func(f *identityFixture, _ context.CancelFunc) error {
			f.grants.grant.Generation++
			f.grants.grant.Spec.ClusterRoles = nil
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, "a")
			f := newIdentityFixture(c)
			before := c.Objects(t)
			if test.there {
				require.NoError(t, f.mint(t.Context(), viewing))
				require.NoError(t, c.Tracker().Delete(bindings, "", grant.BindingName(grantUID, "view")))
				f.verified.RemoveAll(func(any) bool { return true })
			}
			tokens := c.tokens.Load()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c.PrependReactor("create", bindings.Resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				err := test.meanwhile(f, cancel)
				return err != nil, nil, err
			})
			require.Error(t, f.mint(ctx, viewing))
			assert.Equal(t, tokens, c.tokens.Load(), "no token is asked for")
			_, err := c.Tracker().Get(bindings, "", grant.BindingName(grantUID, "view"))
			assert.True(t, apierrors.IsNotFound(err), "%v", err)
			if test.gone {
				assert.Nil(t, f.grants.grant)
				assert.Equal(t, before, c.Objects(t), "nothing is left on the member")
				return
			}
			require.NotNil(t, f.grants.grant)
			assert.Nil(t, f.grants.grant.DeletionTimestamp)
			ready := meta.FindStatusCondition(f.grants.grant.Status.Conditions, clusterpassv1alpha1.GrantReady)
			if test.reason == "" {
				assert.Nil(t, ready)
				return
			}
			require.NotNil(t, ready)
			assert.Equal(t, test.reason, ready.Reason)
		})
	}
}

// changingGrants tell when the spec of their grant is about to change.
type changingGrants struct {
	*keptGrants
	changes func()
}

func (c *changingGrants) Update(ctx context.Context, g *storedGrant) (*storedGrant, error) {
	if !equality.Semantic.DeepEqual(g.Spec, c.grant.Spec) {
		c.changes()
	}
	return c.keptGrants.Update(ctx, g)
}

// The tokens of a grant end before it is changed.
func TestMinter_MintChangedGrant(t *testing.T) {
	c := newCluster(t, "a")
	f := newIdentityFixture(c)
	require.NoError(t, f.mint(t.Context(), nil))
	changes := 0
	f.Grants = &changingGrants{f.grants, func() {
		changes++
		_, err := c.Tracker().Get(secrets, f.grants.grant.Spec.ServiceAccount.Namespace, grant.SecretName(grantUID))
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	}}
	require.NoError(t, f.mint(t.Context(), viewing))
	assert.Equal(t, 1, changes)
}
