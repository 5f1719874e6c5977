// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

// TestTheShippedPoliciesAreEnforcedOnEveryForm applies each policy of the examples by itself.
func TestTheShippedPoliciesAreEnforcedOnEveryForm(t *testing.T) {
	tests := map[string]struct {
		refused func(r *v1alpha1.AuthTokenRequest)
		passes  func(r *v1alpha1.AuthTokenRequest)
		words   string
	}{
		"max-one-hour.yaml": {
			refused: func(r *v1alpha1.AuthTokenRequest) { r.Spec.ExpirationSeconds = ptr.To[int64](3601) },
			passes:  func(*v1alpha1.AuthTokenRequest) {},
			words:   "one hour at most",
		},
		"view-only.yaml": {
			refused: func(r *v1alpha1.AuthTokenRequest) {
				r.Spec.ClusterRoles[0].Rules = []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
			},
			passes: func(*v1alpha1.AuthTokenRequest) {},
			words:  "only the ClusterRole view",
		},
		"require-ticket.yaml": {
			refused: func(*v1alpha1.AuthTokenRequest) {},
			passes: func(r *v1alpha1.AuthTokenRequest) {
				r.Annotations = map[string]string{"example.com/ticket": "OPS-1234"}
			},
			words: "number of a ticket",
		},
	}
	user := shared.hub.RESTConfig()
	for file, test := range tests {
		t.Run(file, func(t *testing.T) {
			applyPolicy(t, file)
			for _, f := range forms {
				t.Run(f.name, func(t *testing.T) {
					refused, passes := request("bravelion", "policies", "view"), request("bravelion", "policies", "view")
					test.refused(refused)
					test.passes(passes)
					dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
					eventually(t, func(ctx context.Context) error {
						if _, _, err := ask(ctx, user, f, refused, dryRun); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.words) {
							return errors.Join(errors.New("the policy is not enforced"), err)
						}
						return nil
					})
					if _, _, err := ask(t.Context(), user, f, passes, metav1.CreateOptions{}); err != nil {
						t.Errorf("what the policy allows is refused: %v", err)
					}
				})
			}
		})
	}
}

// applyPolicy applies a policy of the examples to the hub until the test ends.
func applyPolicy(t *testing.T, file string) {
	t.Helper()
	root := must[string](t)(testenv.ModuleRoot())
	path := filepath.Join(root, "artifacts", "examples", "policies", file)
	must[string](t)(kubectl(t, shared.hub.Kubeconfig(), "", "apply", "-f", path))
	t.Cleanup(func() {
		admin := kube(t, shared.hub.RESTConfig()).AdmissionregistrationV1()
		name := "clusterpass-" + strings.TrimSuffix(file, ".yaml")
		// The test's own context has ended.
		ctx := context.Background()
		if err := admin.ValidatingAdmissionPolicyBindings().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		if err := admin.ValidatingAdmissionPolicies().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		r := request("bravelion", "policies", "view", "edit")
		r.Spec.ExpirationSeconds = ptr.To[int64](7200)
		eventuallyIn(ctx, t, func(ctx context.Context) error {
			_, _, err := ask(ctx, shared.hub.RESTConfig(), forms[0], r, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		})
	})
}
