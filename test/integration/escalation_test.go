// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// everything is a rule for all that there is.
var everything = []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}}

// expectRefusal wants an error of that code with these words.
func expectRefusal(t *testing.T, err error, code int32, words string) {
	t.Helper()
	var status apierrors.APIStatus
	if assert.ErrorAs(t, err, &status) {
		assert.Equal(t, code, status.Status().Code, "%v", err)
		assert.ErrorContains(t, err, words)
	}
}

// unchanged makes an attempt, and wants both members and all grants of the hub to be afterwards as
// they were before.
func unchanged(t *testing.T, attempt func()) {
	t.Helper()
	state := func() []string {
		all := grantVersions(t)
		for _, cluster := range []*testenv.Cluster{shared.Bravelion, shared.Smartfish} {
			all = append(all, objects(t, cluster)...)
		}
		return all
	}
	before := state()
	attempt()
	expectSame(t, before, state())
}

// grantVersions lists all grants of the hub with their versions.
func grantVersions(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, g := range testenv.List(t, grantsIn(t, metav1.NamespaceAll), metav1.ListOptions{}).Items {
		all = append(all, fmt.Sprintf("authtokengrants %s/%s %s %s", g.Namespace, g.Name, g.UID, g.ResourceVersion))
	}
	return all
}

// climber is a user who may view bravelion, and wants more. Tests name users of their own.
func climber(t *testing.T, user string, more ...rbacv1.PolicyRule) *rest.Config {
	t.Helper()
	return grantTo(t, user, append(more, mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default"))...)
}

// powerfulAccount makes a ServiceAccount on bravelion that is bound to cluster-admin and is nothing
// of clusterpass's.
func powerfulAccount(t *testing.T, name string) {
	t.Helper()
	member := shared.Bravelion.Kube(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	testenv.Create(t, member.CoreV1().ServiceAccounts("default"), account)
	bindOnBravelion(t, name)
}

// bindOnBravelion binds a ServiceAccount, which need not exist, to cluster-admin.
func bindOnBravelion(t *testing.T, name string) {
	t.Helper()
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: name}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
	}
	testenv.Create(t, shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings(), binding)
}

// escalation is a request that is refused in every form.
type escalation struct {
	change func(r *v1alpha1.AuthTokenRequest)
	code   int32
	words  string
}

// forbiddenRole is the escalation to a ClusterRole that may not be bound.
func forbiddenRole(name string) escalation {
	return escalation{roleNamed(name), http.StatusForbidden, fmt.Sprintf("lacks: bind:%s on clusterprofiles", name)}
}

// invalidRole is the escalation to a ClusterRole of a name that none can have.
func invalidRole(name string) escalation {
	return escalation{roleNamed(name), http.StatusUnprocessableEntity, "spec.clusterRoles[0].name"}
}

func roleNamed(name string) func(r *v1alpha1.AuthTokenRequest) {
	return func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: name}} }
}

func withRole(namespace, name string, rules ...rbacv1.PolicyRule) func(r *v1alpha1.AuthTokenRequest) {
	return func(r *v1alpha1.AuthTokenRequest) {
		r.Spec.Roles = []v1alpha1.Role{{Namespace: namespace, Name: name, Rules: rules}}
	}
}

// Who may view gets no more by what the request says.
func TestEscalation_Request(t *testing.T) {
	user := climber(t, "climber")
	powerfulAccount(t, "climber-powerful")
	mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "climber-taken", "cluster-admin"))

	account := func(name string, roles ...string) func(r *v1alpha1.AuthTokenRequest) {
		return func(r *v1alpha1.AuthTokenRequest) { r.Spec = request("bravelion", name, roles...).Spec }
	}
	audience := func(name string) func(r *v1alpha1.AuthTokenRequest) {
		return func(r *v1alpha1.AuthTokenRequest) { r.Spec.Audiences = []string{name} }
	}
	tests := map[string]escalation{
		"a powerful ServiceAccount, without roles": {account("climber-powerful"), http.StatusConflict, "was not made by clusterpass"},
		"a powerful ServiceAccount, with a role of theirs": {account("climber-powerful", "view"), http.StatusConflict,
			"was not made by clusterpass"},
		"another grant's ServiceAccount, without roles": {account("climber-taken"), http.StatusConflict,
			"granted [cluster-admin], asked for []"},
		"another grant's ServiceAccount, with its roles": {account("climber-taken", "cluster-admin"), http.StatusForbidden,
			"lacks: bind:cluster-admin"},
		"the ServiceAccount of clusterpass itself": {func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.ServiceAccountNamespace = "clusterpass-system"
		}, http.StatusUnprocessableEntity, "spec.serviceAccountNamespace"},
		"a ServiceAccount in a namespace of others": {func(r *v1alpha1.AuthTokenRequest) { r.Spec.ServiceAccountNamespace = "payments" },
			http.StatusForbidden, "lacks: in:payments"},
		"a ServiceAccount with a path in its name": {account("../clusterpass"), http.StatusUnprocessableEntity,
			"spec.serviceAccountName"},
		"a namespace of the member with a colon": {withRole("default:x", "view"), http.StatusUnprocessableEntity,
			"spec.roles[0].namespace"},
		"a ClusterRole that may not be bound":       forbiddenRole("cluster-admin"),
		"two verbs in one name":                     forbiddenRole("view,bind:cluster-admin"),
		"two verbs in one name, with a space":       forbiddenRole("view bind:cluster-admin"),
		"two lines in one name":                     forbiddenRole("view\nbind:cluster-admin"),
		"a space behind the name":                   forbiddenRole("view "),
		"a space before the name":                   forbiddenRole(" view"),
		"a null byte behind the name":               forbiddenRole("view\x00"),
		"capital letters":                           forbiddenRole("View"),
		"a letter of another alphabet":              forbiddenRole("vi\u0435w"),
		"a letter of no width":                      forbiddenRole("view\u200b"),
		"a name that ends in one that may be bound": forbiddenRole("cluster-admin:view"),
		"a name of the system":                      forbiddenRole("system:node"),
		"the part of a name before the colon":       forbiddenRole("system"),
		"a name with a slash":                       invalidRole("a/b"),
		"a path to another role":                    invalidRole("../clusterroles/cluster-admin"),
		"the parent":                                invalidRole(".."),
		"itself":                                    invalidRole("."),
		"an encoded path":                           invalidRole("view%2f..%2fcluster-admin"),
		"every role":                                invalidRole("*"),
		"a name that begins with a verb's wildcard": invalidRole("view*"),
		"no name":                       invalidRole(""),
		"a role made for another grant": invalidRole("clusterpass:6a1fbd3c-6dd4-4a3e-9f0c-0f4c1d7ab0de:admin"),
		"the Role of the same letters as a ClusterRole": {withRole("default", "view"), http.StatusForbidden,
			"lacks: bind-role:default:view on"},
		"a Role made for another grant": {withRole("default", "clusterpass:6a1fbd3c-6dd4-4a3e-9f0c-0f4c1d7ab0de:admin"),
			http.StatusUnprocessableEntity, "spec.roles[0].name"},
		"a Role with a slash": {withRole("default", "a/b"), http.StatusUnprocessableEntity, "spec.roles[0].name"},
		"rules for a Role": {withRole("default", "mine", everything...), http.StatusForbidden,
			"lacks: escalate on"},
		"rules under the name of a role that may be bound": {func(r *v1alpha1.AuthTokenRequest) { r.Spec.ClusterRoles[0].Rules = everything },
			http.StatusForbidden, "lacks: escalate on"},
		"the same role twice, once with rules": {func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.ClusterRoles = append(r.Spec.ClusterRoles, v1alpha1.ClusterRole{Name: "view", Rules: everything})
		}, http.StatusUnprocessableEntity, "spec.clusterRoles[1].name"},
		"21 ClusterRoles": {many(func(r *v1alpha1.AuthTokenRequest, name string) {
			r.Spec.ClusterRoles = append(r.Spec.ClusterRoles, v1alpha1.ClusterRole{Name: name})
		}), http.StatusUnprocessableEntity, "spec.clusterRoles: Too many"},
		"21 Roles": {many(func(r *v1alpha1.AuthTokenRequest, name string) {
			r.Spec.Roles = append(r.Spec.Roles, v1alpha1.Role{Namespace: "default", Name: name})
		}), http.StatusUnprocessableEntity, "spec.roles: Too many"},
		"every audience": {audience("*"), http.StatusUnprocessableEntity, "spec.audiences[0]"},
		"no audience":    {audience(""), http.StatusUnprocessableEntity, "spec.audiences[0]"},
		"the member's own audience by its name": {audience("https://bravelion.local"), http.StatusForbidden,
			"lacks: audience:https://bravelion.local on"},
		"the hub's audience": {audience("https://hub.local"), http.StatusForbidden,
			"lacks: audience:https://hub.local on"},
		"a label of the server's": {func(r *v1alpha1.AuthTokenRequest) {
			r.Labels = map[string]string{grant.LabelGrantUID: "x"}
		}, http.StatusUnprocessableEntity, "metadata.labels"},
		"an annotation of the server's": {func(r *v1alpha1.AuthTokenRequest) {
			r.Annotations = map[string]string{grant.AnnotationGrant: "x"}
		}, http.StatusUnprocessableEntity, "metadata.annotations"},
		"a member namespace of the system, with no space": {func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.ServiceAccountNamespace = "kube-system "
		}, http.StatusUnprocessableEntity, "spec.serviceAccountNamespace"},
		"another cluster": {func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.TargetClusterProfile.Name = "smartfish"
		}, http.StatusForbidden, "clusterprofiles"},
		"an API group of ours that ClusterProfiles are not": {func(r *v1alpha1.AuthTokenRequest) {
			r.Spec.TargetClusterProfile.APIGroup = "clusterpass.dev"
		}, http.StatusUnprocessableEntity, "spec.targetClusterProfile.apiGroup"},
	}
	before, grantsBefore := objects(t, shared.Bravelion), grantVersions(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request("bravelion", "climber", "view")
			test.change(r)
			for _, f := range forms {
				_, _, err := ask(t.Context(), user, f, r, metav1.CreateOptions{})
				expectRefusal(t, err, test.code, test.words)
			}
			expectSame(t, before, objects(t, shared.Bravelion))
			expectSame(t, grantsBefore, grantVersions(t))
		})
	}
}

// many adds one role more than there may be.
func many(add func(r *v1alpha1.AuthTokenRequest, name string)) func(r *v1alpha1.AuthTokenRequest) {
	return func(r *v1alpha1.AuthTokenRequest) {
		r.Spec.ClusterRoles = nil
		for i := range v1alpha1.MaxRoles + 1 {
			add(r, fmt.Sprintf("role-%d", i))
		}
	}
}

// Nobody gets into reserved namespaces.
func TestEscalation_ReservedNamespaces(t *testing.T) {
	unchanged(t, func() {
		for _, namespace := range []string{"kube-system", "kube-public", "kube-node-lease", "clusterpass-system"} {
			for what, change := range map[string]func(r *v1alpha1.AuthTokenRequest){
				"spec.serviceAccountNamespace": func(r *v1alpha1.AuthTokenRequest) { r.Spec.ServiceAccountNamespace = namespace },
				"spec.roles[0].namespace":      withRole(namespace, "extension-apiserver-authentication-reader"),
				"spec.roles[1].namespace": func(r *v1alpha1.AuthTokenRequest) {
					r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "maps", Rules: everything},
						{Namespace: namespace, Name: "maps", Rules: everything}}
				},
			} {
				r := request("bravelion", "reserved")
				change(r)
				for _, f := range forms {
					_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), f, r, metav1.CreateOptions{})
					expectRefusal(t, err, http.StatusUnprocessableEntity,
						fmt.Sprintf("%s: Forbidden: namespace %q of a member cluster is reserved", what, namespace))
				}
			}
		}
	})
}

// Rules on the hub give what their letters say.
func TestEscalation_RulesOnTheHub(t *testing.T) {
	entitled := func(cluster string, verbs ...string) []rbacv1.PolicyRule {
		return []rbacv1.PolicyRule{mayRequest(), mayMint("bravelion"), mayUse(cluster, verbs...)}
	}
	tests := map[string]struct {
		rules   []rbacv1.PolicyRule
		change  func(r *v1alpha1.AuthTokenRequest)
		missing string
	}{
		"no rule but the request itself": {[]rbacv1.PolicyRule{mayRequest()}, roleNamed("view"), "create on clusterprofiles/token"},
		"a Role of the system's letters": {entitled("bravelion", "in:default", "bind-role:system:node"), roleNamed("system:node"),
			"bind:system:node on"},
		"a ClusterRole of the Role's letters": {entitled("bravelion", "in:default", "bind:system:node"), withRole("system", "node"),
			"bind-role:system:node on"},
		"the beginning of a name": {entitled("bravelion", "in:default", "bind:system"), roleNamed("system:node"),
			"bind:system:node on"},
		"the Role in another namespace": {entitled("bravelion", "in:default", "bind-role:other:deployer"), withRole("default", "deployer"),
			"bind-role:default:deployer on"},
		"a verb with a star is no wildcard": {entitled("bravelion", "in:*", "bind:*"), roleNamed("view"), "bind:view on"},
		"bind alone":                        {entitled("bravelion", "in:default", "bind", "bind:"), roleNamed("view"), "bind:view on"},
		"a name of a star is no wildcard": {append(entitled("*", "in:default", "bind:view"), mayMint("*")), roleNamed("view"),
			"bind:view on"},
		"a token for a name of a star": {[]rbacv1.PolicyRule{mayRequest(), mayMint("*"), mayUse("bravelion", "in:default", "bind:view")},
			roleNamed("view"), "create on clusterprofiles/token"},
		"escalate on another cluster": {append(entitled("smartfish", "escalate"), mayUse("bravelion", "in:default")),
			withRole("default", "mine", everything...), "escalate on"},
		"escalate does not bind": {entitled("bravelion", "in:default", "escalate"), roleNamed("cluster-admin"),
			"bind:cluster-admin on"},
		"every verb on the token alone": {[]rbacv1.PolicyRule{mayRequest(), {APIGroups: []string{multicluster},
			Resources: []string{"clusterprofiles/token"}, Verbs: []string{"*"}}}, roleNamed("view"), "bind:view on"},
		"every verb on the status alone": {append(entitled("bravelion", "get"), rbacv1.PolicyRule{APIGroups: []string{multicluster},
			Resources: []string{"clusterprofiles/status"}, Verbs: []string{"*"}}), roleNamed("view"), "bind:view on"},
		"every verb in the other group": {append(entitled("bravelion", "get"), rbacv1.PolicyRule{APIGroups: []string{"clusterpass.dev"},
			Resources: []string{"*"}, Verbs: []string{"*"}}), roleNamed("view"), "bind:view on"},
		"the built-in verbs on ClusterProfile": {entitled("bravelion", "get", "list", "watch", "create", "update", "patch", "delete",
			"deletecollection", "bind", "impersonate", "use"), roleNamed("view"), "bind:view on"},
	}
	unchanged(t, func() {
		number := 0
		for name, test := range tests {
			number++
			user := grantTo(t, fmt.Sprintf("letters-%d", number), test.rules...)
			t.Run(name, func(t *testing.T) {
				r := request("bravelion", "letters")
				test.change(r)
				for _, options := range []metav1.CreateOptions{{}, {DryRun: []string{metav1.DryRunAll}}} {
					_, _, err := ask(t.Context(), user, forms[0], r, options)
					expectRefusal(t, err, http.StatusForbidden, test.missing)
				}
			})
		}
	})
}

// An admin of a namespace gives himself no tokens.
func TestEscalation_NamespaceAdmin(t *testing.T) {
	ctx, hub := t.Context(), shared.Hub.Kube(t)
	subject := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "namespace-admin"}
	testenv.Bind(t, hub, "default", subject.Name, subject, "admin")
	user := shared.Hub.User(t, subject.Name)
	unchanged(t, func() {
		for _, f := range forms {
			_, _, err := ask(ctx, user, f, request("bravelion", "namespace-admin", "view"), metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusForbidden, "namespace-admin")
		}
		for _, rule := range []rbacv1.PolicyRule{mayMint("bravelion"), mayUse("bravelion", "bind:view"), mayUse("bravelion", "*"), mayRequest()} {
			role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "self-service"}, Rules: []rbacv1.PolicyRule{rule}}
			_, err := testenv.Kube(t, user).RbacV1().Roles("default").Create(ctx, role, metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusForbidden, "attempting to grant RBAC permissions not currently held")
		}
	})
}

// A right that was taken away is gone within the cache time.
func TestEscalation_RightTakenAway(t *testing.T) {
	// What docs/security.md says, and room for a machine that has other work.
	const cached, slack = 10 * time.Second, 10 * time.Second
	user := climber(t, "former")
	r := request("bravelion", "former", "view")
	mintFor(t, user, r)
	roles := shared.Hub.Kube(t).RbacV1().Roles("default")
	removed := time.Now()
	patch := `[{"op":"replace","path":"/rules",` +
		`"value":[{"apiGroups":["multicluster.x-k8s.io"],"resources":["authtokenrequests"],"verbs":["create"]}]}]`
	testenv.Must[*rbacv1.Role](t)(roles.Patch(t.Context(), "former", types.JSONPatchType, []byte(patch), metav1.PatchOptions{}))
	testenv.Eventually(t, func(ctx context.Context) error {
		if _, _, err := ask(ctx, user, forms[0], r, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			return fmt.Errorf("the former right still counts: %w", err)
		}
		return nil
	})
	assert.LessOrEqual(t, time.Since(removed), cached+slack, "until it was refused")
	unchanged(t, func() {
		for _, f := range forms {
			_, _, err := ask(t.Context(), user, f, r, metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusForbidden, "former")
		}
	})
}

// What is not the requester's to say has no effect.
func TestEscalation_ForgedFields(t *testing.T) {
	user := climber(t, "forger")
	r := request("bravelion", "forger", "view")
	r.UID, r.ResourceVersion, r.Generation = "forged", "", 7
	r.Finalizers = []string{"example.com/hold", clusterpassv1alpha1.GrantFinalizer}
	r.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Namespace", Name: "default", UID: "forged"}}
	r.Labels = map[string]string{"team": "tigers"}
	r.Status = v1alpha1.AuthTokenRequestStatus{
		Token: "forged", GrantName: "forged", Kubeconfig: []byte("forged"), Cluster: &v1alpha1.Cluster{Server: "https://attacker.example.com"},
		Conditions: []metav1.Condition{condition("Forged", metav1.ConditionTrue)},
	}
	unchanged(t, func() {
		answer, _, err := ask(t.Context(), user, forms[0], r, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		require.NoError(t, err)
		s := answer.Status
		assert.Empty(t, s.Token)
		assert.Empty(t, s.Kubeconfig)
		assert.NotEqual(t, "forged", s.GrantName)
		assert.Equal(t, shared.Bravelion.Server(), s.Cluster.Server)
		assert.Len(t, s.Conditions, 4)
	})
	answer := mintFor(t, user, r)
	assert.NotEqual(t, "forged", answer.Status.Token)
	assert.Equal(t, shared.Bravelion.Server(), answer.Status.Cluster.Server)
	g := getGrant(t, answer.Status.GrantName)
	assert.Equal(t, []string{clusterpassv1alpha1.GrantFinalizer}, g.Finalizers)
	assert.Empty(t, g.OwnerReferences)
	assert.Empty(t, g.Labels)
	assert.NotEqualValues(t, "forged", g.UID)
	account := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default"), "forger")
	assert.Empty(t, account.Labels["team"])
	assert.Empty(t, account.Finalizers)
	assert.Empty(t, account.OwnerReferences)
}
