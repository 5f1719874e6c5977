// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

var dryRun = metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}

// TestPolicies applies each policy of the examples by itself.
func TestPolicies(t *testing.T) {
	type requests map[string]func(r *v1alpha1.AuthTokenRequest)
	ticket := func(value string) func(r *v1alpha1.AuthTokenRequest) {
		return func(r *v1alpha1.AuthTokenRequest) { r.Annotations = map[string]string{"example.com/ticket": value} }
	}
	expiration := func(seconds int64) func(r *v1alpha1.AuthTokenRequest) {
		return func(r *v1alpha1.AuthTokenRequest) { r.Spec.ExpirationSeconds = ptr.To(seconds) }
	}
	asItIs := func(*v1alpha1.AuthTokenRequest) {}
	all := []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}
	tests := map[string]struct {
		refused, passes requests
		words           string
	}{
		"max-one-hour.yaml": {
			refused: requests{"a second more": expiration(3601), "a day": expiration(86400)},
			passes:  requests{"the default": asItIs, "an hour": expiration(3600), "ten minutes": expiration(600)},
			words:   "one hour at most",
		},
		"view-only.yaml": {
			refused: requests{
				"another ClusterRole": func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "edit" },
				"one besides view": func(r *v1alpha1.AuthTokenRequest) {
					r.Spec.ClusterRoles = append(r.Spec.ClusterRoles, v1alpha1.ClusterRole{Name: "edit"})
				},
				"rules that are called view": func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Rules = all },
				"a Role": func(r *v1alpha1.AuthTokenRequest) {
					r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "view"}}
				},
			},
			passes: requests{"view": asItIs, "no role": func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles = nil }},
			words:  "only the ClusterRole view",
		},
		"require-ticket.yaml": {
			refused: requests{"no annotation": asItIs, "an empty one": ticket(""), "words": ticket("because"),
				"a number in words": ticket("see OPS-1234")},
			passes: requests{"a ticket": ticket("OPS-1234")},
			words:  "number of a ticket",
		},
	}
	for file, test := range tests {
		t.Run(file, func(t *testing.T) {
			applyPolicy(t, file, "validatingadmission")
			for _, f := range forms {
				for name, change := range test.refused {
					t.Run(f.name+" refused "+name, func(t *testing.T) { expectDenied(t, f, change, test.words) })
				}
				for name, change := range test.passes {
					t.Run(f.name+" passes "+name, func(t *testing.T) {
						r := request("bravelion", "policies-"+strings.ReplaceAll(name, " ", "-"), "view")
						change(r)
						_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), f, r, metav1.CreateOptions{})
						assert.NoError(t, err, "what the policy allows")
					})
				}
			}
		})
	}
}

// expectDenied waits until a policy refuses what change makes of a request for view.
func expectDenied(t *testing.T, f form, change func(*v1alpha1.AuthTokenRequest), words string) {
	t.Helper()
	r := request("bravelion", "policies", "view")
	change(r)
	testenv.Eventually(t, func(ctx context.Context) error {
		if _, _, err := ask(ctx, shared.Hub.RESTConfig(), f, r, dryRun); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), words) {
			return errors.Join(errors.New("the policy is not enforced"), err)
		}
		return nil
	})
}

// Who is in break-glass is exempt from the policy view-only.
func TestPolicies_BreakGlass(t *testing.T) {
	applyPolicy(t, "view-only.yaml", "validatingadmission")
	operator := shared.Hub.User(t, "operator", "system:masters", "break-glass")
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			expectDenied(t, f, func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Name = "cluster-admin" }, "only the ClusterRole view")
			_, _, err := ask(t.Context(), operator, f, request("bravelion", "policies", "cluster-admin"), dryRun)
			assert.NoError(t, err)
		})
	}
}

// A policy sets the audience, and the requester must be entitled to it.
func TestPolicies_SetAudience(t *testing.T) {
	const vault = "https://vault.example.com"
	allowed := grantTo(t, "audience:allowed", mayRequest(), mayMint("bravelion"),
		mayUse("bravelion", "bind:view", "in:default", "audience:"+vault))
	others := grantTo(t, "audience:others", mayRequest(), mayMint("bravelion"),
		mayUse("bravelion", "bind:view", "in:default", "audience:other"))
	applyPolicy(t, "set-audience.yaml", "mutatingadmission")
	asked := map[string][]string{"no audience asked for": nil, "another one asked for": {"other"}, "that one asked for": {vault}}
	for _, f := range forms {
		for name, audiences := range asked {
			t.Run(f.name+" "+name, func(t *testing.T) {
				r := request("bravelion", "audience", "view")
				r.Spec.Audiences = audiences
				testenv.Eventually(t, func(ctx context.Context) error {
					answer, _, err := ask(ctx, allowed, f, r, dryRun)
					if err != nil || !slices.Equal(answer.Spec.Audiences, []string{vault}) {
						return errors.Join(errors.New("the policy is not enforced"), err)
					}
					return nil
				})
				answer, _, err := ask(t.Context(), allowed, f, r, metav1.CreateOptions{})
				require.NoError(t, err)
				assert.Equal(t, []string{vault}, audienceOf(t, answer.Status.Token))
				_, _, err = ask(t.Context(), others, f, r, metav1.CreateOptions{})
				want := fmt.Sprintf("lacks: audience:%s on clusterprofiles.multicluster.x-k8s.io %q in namespace %q", vault, "bravelion", "default")
				require.True(t, apierrors.IsForbidden(err), "%v", err)
				assert.True(t, strings.HasSuffix(err.Error(), want), "got %v, want it to end in %s", err, want)
			})
		}
	}
}

// audienceOf returns whom a token is for.
func audienceOf(t *testing.T, token string) []string {
	t.Helper()
	parsed, err := jwt.ParseSigned(token)
	require.NoError(t, err)
	var claims jwt.Claims
	require.NoError(t, parsed.UnsafeClaimsWithoutVerification(&claims))
	return claims.Audience
}

// applyPolicy applies a policy of the examples to the hub until the test ends. Its resources begin
// with kind: validatingadmission or mutatingadmission.
func applyPolicy(t *testing.T, file, kind string) {
	t.Helper()
	path := filepath.Join(testenv.Root(t), "artifacts", "examples", "policies", file)
	testenv.Must[string](t)(testenv.Kubectl(t.Context(), shared.Hub.Kubeconfig(), "", "apply", "-f", path))
	admin := dyn(t, shared.Hub.RESTConfig())
	t.Cleanup(func() {
		name := "clusterpass-" + strings.TrimSuffix(file, ".yaml")
		// The test's own context has ended.
		ctx := context.Background()
		for _, resource := range []string{"policybindings", "policies"} {
			resource := schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: kind + resource}
			assert.NoError(t, admin.Resource(resource).Delete(ctx, name, metav1.DeleteOptions{}))
		}
		expectNoPolicy(ctx, t)
	})
}

// expectNoPolicy waits until no policy of the examples is in force.
func expectNoPolicy(ctx context.Context, t *testing.T) {
	t.Helper()
	r := request("bravelion", "policies", "view", "edit")
	r.Spec.ExpirationSeconds = ptr.To[int64](7200)
	testenv.EventuallyIn(ctx, t, testenv.WaitTimeout, func(ctx context.Context) error {
		answer, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], r, dryRun)
		if err == nil && len(answer.Spec.Audiences) > 0 {
			return errors.New("the audience is still set")
		}
		return err
	})
}
