// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"clusterpass.dev/test/testenv"
)

// TestPolicyRevokeOwn tries the policy of the examples that leaves everybody the grants of their
// own requests.
func TestPolicyRevokeOwn(t *testing.T) {
	grants := func(verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{"clusterpass.dev"}, Resources: []string{"authtokengrants"}, Verbs: verbs}
	}
	owner := grantTo(t, "revoke:owner", append(viewOnBravelion(), grants("delete"))...)
	other := grantTo(t, "revoke:other", append(viewOnBravelion(), grants("delete"))...)
	editor := grantTo(t, "revoke:editor", grants("delete", "deletecollection"))
	controller := clusterRole(t, "revoke-controller", testenv.UserSubject("revoke:controller"), grants("delete"))
	applyPolicy(t, "revoke-own.yaml", "validatingadmission")

	// revoke tries to delete a grant, which is there afterwards.
	revoke := func(ctx context.Context, config *rest.Config, name string) error {
		client := testenv.Clusterpass(t, config)
		return client.ClusterpassV1alpha1().AuthTokenGrants("default").Delete(ctx, name, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}
	answer, _, err := ask(t.Context(), owner, forms[0], request("bravelion", "revoke-own", "view"), metav1.CreateOptions{})
	require.NoError(t, err)
	name := answer.Status.GrantName
	const words = "it was granted to revoke:owner: only that user, and who may deletecollection on authtokengrants, may revoke it"
	testenv.Eventually(t, func(ctx context.Context) error {
		if err := revoke(ctx, other, name); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			return errors.Join(errors.New("the policy is not enforced on another user"), err)
		}
		return nil
	})
	for who, config := range map[string]*rest.Config{
		"who asked for it":                       owner,
		"who may delete all of the namespace":    editor,
		"who may delete them in every namespace": controller,
		"an admin of the hub":                    shared.Hub.RESTConfig(),
	} {
		t.Run("passes "+who, func(t *testing.T) {
			assert.NoError(t, revoke(t.Context(), config, name))
		})
	}
	err = revoke(t.Context(), grantTo(t, "revoke:nobody"), name)
	require.True(t, apierrors.IsForbidden(err), "without the right itself RBAC refuses: %v", err)
	assert.NotContains(t, err.Error(), words)
}
