// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const multicluster = "multicluster.x-k8s.io"

// grantTo binds rules in namespace default of the hub to a new user and returns the user's client
// config.
func grantTo(t *testing.T, user string, rules ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	return grantIn(t, "default", user, rules...)
}

// grantIn is grantTo for another namespace.
func grantIn(t *testing.T, namespace, user string, rules ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	testenv.Grant(t, shared.Hub.Kube(t), namespace, strings.ReplaceAll(user, ":", "-"), testenv.UserSubject(user), rules...)
	return shared.Hub.User(t, user)
}

// Rules as a person would write them: design.md has no "*".
func mayRequest() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{multicluster, "clusterpass.dev"}, Resources: []string{"authtokenrequests"},
		Verbs: []string{"create"}}
}

func mayMint(clusters ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{multicluster}, Resources: []string{"clusterprofiles/token"}, ResourceNames: clusters,
		Verbs: []string{"create"}}
}

func mayUse(cluster string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{multicluster}, Resources: []string{"clusterprofiles"}, ResourceNames: []string{cluster},
		Verbs: verbs}
}

// Who may have what.
func TestEntitlement(t *testing.T) {
	onMember := func(cluster string, change func(*v1alpha1.AuthTokenRequestSpec)) func() *v1alpha1.AuthTokenRequest {
		return func() *v1alpha1.AuthTokenRequest {
			r := request(cluster, "who")
			change(&r.Spec)
			return r
		}
	}
	roles := func(names ...string) func() *v1alpha1.AuthTokenRequest {
		return onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) { s.ClusterRoles = request("", "", names...).Spec.ClusterRoles })
	}
	pods := []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	token := `create on clusterprofiles/token.multicluster.x-k8s.io "bravelion" in namespace "default"`
	on := func(verb string) string {
		return verb + ` on clusterprofiles.multicluster.x-k8s.io "bravelion" in namespace "default"`
	}
	tests := map[string]struct {
		rules   []rbacv1.PolicyRule
		request func() *v1alpha1.AuthTokenRequest
		missing []string // none: the dry run is answered
		// unreviewed is what is not reviewed any more when the first right is missing.
		unreviewed []string
	}{
		"create authtokenrequests alone gives nothing": {
			rules: []rbacv1.PolicyRule{mayRequest()}, request: roles("cluster-admin"),
			missing: []string{token}, unreviewed: []string{on("bind:cluster-admin"), on("in:default")},
		},
		"the role and the namespace that were granted": {
			rules:   []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default")},
			request: roles("view"),
		},
		"a role that was not granted": {
			rules:   []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default")},
			request: roles("view", "edit"), missing: []string{on("bind:edit")},
		},
		"a namespace that was not granted, even without roles": {
			rules:   []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view")},
			request: roles(), missing: []string{on("in:default")},
		},
		"another cluster's rules": {
			rules:   []rbacv1.PolicyRule{mayRequest(), mayMint("smartfish"), mayUse("smartfish", "bind:view", "in:default")},
			request: roles("view"), missing: []string{token}, unreviewed: []string{on("bind:view"), on("in:default")},
		},
		"rules made for the request take escalate": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:pods", "in:default")},
			request: onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) {
				s.ClusterRoles = []v1alpha1.ClusterRole{{Name: "pods", Rules: pods}}
			}),
			missing: []string{on("escalate")},
		},
		"escalate allows rules": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "escalate", "in:default")},
			request: onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) {
				s.ClusterRoles = []v1alpha1.ClusterRole{{Name: "pods", Rules: pods}}
			}),
		},
		"a Role is not the ClusterRole of the same letters": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:system:node", "in:default")},
			request: onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) {
				s.Roles = []v1alpha1.Role{{Namespace: "system", Name: "node"}}
			}),
			missing: []string{on("bind-role:system:node")},
		},
		"a Role in the namespace that was granted": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind-role:default:reader", "in:default")},
			request: onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) {
				s.Roles = []v1alpha1.Role{{Namespace: "default", Name: "reader"}}
			}),
		},
		"an audience": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse("bravelion", "in:default", "audience:vault")},
			request: onMember("bravelion", func(s *v1alpha1.AuthTokenRequestSpec) {
				s.Audiences = []string{"vault", "other"}
			}),
			missing: []string{on("audience:other")},
		},
		"a ClusterProfile that does not exist looks like one that does": {
			rules: []rbacv1.PolicyRule{mayRequest()},
			request: onMember("no-such-cluster", func(*v1alpha1.AuthTokenRequestSpec) {
			}),
			missing:    []string{`create on clusterprofiles/token.multicluster.x-k8s.io "no-such-cluster" in namespace "default"`},
			unreviewed: []string{`in:default on clusterprofiles.multicluster.x-k8s.io "no-such-cluster" in namespace "default"`},
		},
		"every verb on every cluster": {
			rules: []rbacv1.PolicyRule{mayRequest(), mayMint(),
				{APIGroups: []string{multicluster}, Resources: []string{"clusterprofiles"}, Verbs: []string{"*"}}},
			request: roles("cluster-admin"),
		},
	}
	before, from := objects(t, shared.Bravelion), time.Now()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			user := grantTo(t, "who:"+strings.ReplaceAll(strings.ToLower(strings.NewReplacer(",", "", " ", "-").Replace(name)), "--", "-"),
				test.rules...)
			_, _, err := ask(t.Context(), user, forms[0], test.request(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if len(test.missing) == 0 {
				assert.NoError(t, err)
				return
			}
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			want := "lacks: " + strings.Join(test.missing, "; ")
			if len(test.unreviewed) > 0 {
				want += " (not reviewed: " + strings.Join(test.unreviewed, "; ") + ")"
			}
			assert.True(t, strings.HasSuffix(err.Error(), want), "got %v, want it to end in %s", err, want)
		})
	}
	assert.Empty(t, memberCalls(t, shared.Bravelion, from), "calls to the member")
	expectSame(t, before, objects(t, shared.Bravelion))
}

// A refusal changes nothing on the member.
func TestEntitlement_RefusalChangesNothing(t *testing.T) {
	user := grantTo(t, "requester", mayRequest())
	before, from := objects(t, shared.Bravelion), time.Now()
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			_, _, err := ask(t.Context(), user, f, request("bravelion", "refused", "cluster-admin"), metav1.CreateOptions{})
			assert.True(t, apierrors.IsForbidden(err), "%v", err)
		})
	}
	assert.Empty(t, memberCalls(t, shared.Bravelion, from), "calls to the member")
	expectSame(t, before, objects(t, shared.Bravelion))
}

// The server believes nobody but the aggregator.
func TestServer_ForgedHeaders(t *testing.T) {
	direct := testenv.Must[*rest.Config](t)(shared.Server.DirectConfig("mallory"))
	forged := rest.CopyConfig(direct)
	forged.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("X-Remote-User", "admin")
			r.Header.Set("X-Remote-Group", "system:masters")
			return rt.RoundTrip(r)
		})
	})
	anonymous := rest.AnonymousClientConfig(direct)
	tests := map[string]struct {
		config *rest.Config
		is     func(error) bool
	}{
		"a user of the hub without rights": {direct, apierrors.IsForbidden},
		"forged headers of the aggregator": {forged, apierrors.IsForbidden},
		"nobody, past the aggregator":      {anonymous, apierrors.IsForbidden},
		"nobody, through the aggregator": {rest.AnonymousClientConfig(shared.Hub.RESTConfig()),
			func(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }},
		"a token that was minted for a member": {withToken(shared.Hub,
			mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "direct", "view")).Status.Token), apierrors.IsUnauthorized},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := ask(t.Context(), test.config, forms[0], request("bravelion", "mallory", "cluster-admin"), metav1.CreateOptions{})
			assert.True(t, test.is(err), "%v", err)
		})
	}
}

// Anonymous gets nothing, whatever RBAC says.
func TestEntitlement_Anonymous(t *testing.T) {
	admin := shared.Hub.Kube(t)
	const role = "too-generous"
	testenv.Grant(t, admin, "default", role,
		rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:unauthenticated"},
		rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}})
	t.Cleanup(func() {
		// Not t.Context(): it has ended by now.
		assert.NoError(t, admin.RbacV1().RoleBindings("default").Delete(context.Background(), role, metav1.DeleteOptions{}))
	})
	testenv.Eventually(t, func(ctx context.Context) error {
		_, _, err := ask(ctx, rest.AnonymousClientConfig(shared.Hub.RESTConfig()), forms[0], request("bravelion", "anonymous", "view"),
			metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "anonymous users get no tokens") {
			return errors.Join(errors.New("anonymous was not refused as such"), err)
		}
		return nil
	})
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
