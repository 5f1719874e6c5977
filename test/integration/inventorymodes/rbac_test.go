// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package inventorymodes

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/test/testenv"
)

// A server that may not look says so.
func TestServer_Forbidden(t *testing.T) {
	for name, test := range map[string]struct{ mode, group, resource, check, says string }{
		"at CRDs, when it serves the inventory": {
			served, "apiextensions.k8s.io", "customresourcedefinitions", crdsCheck, "it needs list and watch on them",
		},
		"at ClusterProfiles, when somebody else does": {
			external, multicluster.Group, "clusterprofiles", profilesCheck, "the server needs get, list and watch on them",
		},
	} {
		t.Run(name, func(t *testing.T) {
			leaveHubClean(t)
			if test.mode == external {
				installProfileCRDs(t)
			}
			s := newServer(t, test.mode)
			denyServer(t, test.group, test.resource)
			s.start(t)
			s.expectNotReady(t, test.check, test.says, "artifacts/deploy/rbac", "is forbidden")

			require.NoError(t, s.ApplyRBAC(t.Context()))
			s.expectReady(t)
		})
	}
}

// denyServer takes a resource out of the server's ClusterRole, as an upgrade that forgets
// artifacts/deploy/rbac leaves it, and waits until the hub's authoriser knows.
func denyServer(t *testing.T, group, resource string) {
	t.Helper()
	client := hub.Kube(t)
	role := testenv.Get(t, client.RbacV1().ClusterRoles(), serverName)
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.APIGroups, group) })
	testenv.Update(t, client.RbacV1().ClusterRoles(), role)
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + testenv.SystemNamespace + ":" + serverName,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Group: group, Resource: resource},
	}}
	testenv.Eventually(t, func(ctx context.Context) error {
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err == nil && answer.Status.Allowed {
			err = errors.New("the server may still list " + resource)
		}
		return err
	})
}
