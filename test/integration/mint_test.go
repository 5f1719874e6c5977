// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/testenv"
)

// talk is the request of the talk, letter for letter.
const talk = `apiVersion: multicluster.x-k8s.io/v1alpha1
kind: AuthTokenRequest
metadata:
  name: work
  namespace: default
spec:
  targetClusterProfile:
    apiGroup: multicluster.x-k8s.io/v1alpha1
    kind: ClusterProfile
    name: bravelion
  serviceAccountName: work
  serviceAccountNamespace: default
  clusterRoles:
    - name: cluster-admin
`

// The talk's request with kubectl.
func TestMint_Kubectl(t *testing.T) {
	hub := shared.Hub.Kubeconfig()
	raw := `{"apiVersion":"multicluster.x-k8s.io/v1alpha1","kind":"AuthTokenRequest","spec":{"serviceAccountName":"work",` +
		`"serviceAccountNamespace":"default","clusterRoles":[{"name":"cluster-admin"}]}}`
	tests := map[string]struct {
		input string
		args  []string
	}{
		"letter for letter": {talk, []string{"create", "-f", "-", "-o", "json"}},
		"with a generateName": {strings.Replace(talk, "name: work\n  namespace", "generateName: work-\n  namespace", 1),
			[]string{"create", "-f", "-", "-o", "json"}},
		"with no name at all": {strings.Replace(talk, "name: work\n  namespace", "namespace", 1), []string{"create", "-f", "-", "-o", "json"}},
		"raw, as the subresource of the ClusterProfile": {raw, []string{
			"create", "--raw", "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/default/clusterprofiles/bravelion/token", "-f", "-",
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var answer v1alpha1.AuthTokenRequest
			out := testenv.Must[string](t)(testenv.Kubectl(t.Context(), hub, test.input, test.args...))
			require.NoError(t, json.Unmarshal([]byte(out), &answer), out)
			remember(answer.Status.Token)
			expectClusterAdminOnBravelionAlone(t, &answer)
		})
	}
}

func expectClusterAdminOnBravelionAlone(t *testing.T, answer *v1alpha1.AuthTokenRequest) {
	t.Helper()
	ctx := t.Context()
	member := testenv.Kube(t, withToken(shared.Bravelion, answer.Status.Token))
	who := testenv.Create(t, member.AuthenticationV1().SelfSubjectReviews(), &authenticationv1.SelfSubjectReview{})
	assert.Equal(t, "system:serviceaccount:default:work", who.Status.UserInfo.Username)
	_, err := member.CoreV1().Secrets("kube-system").List(ctx, metav1.ListOptions{})
	assert.NoError(t, err, "the token is not cluster-admin")
	other := testenv.Kube(t, withToken(shared.Smartfish, answer.Status.Token))
	_, err = other.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	assert.True(t, apierrors.IsUnauthorized(err), "smartfish answers to the token: %v", err)
	left := time.Until(answer.Status.ExpirationTimestamp.Time)
	assert.Positive(t, left)
	assert.LessOrEqual(t, left, time.Hour)
	assert.Empty(t, answer.ManagedFields)
}

func TestMint_Answer(t *testing.T) {
	answer := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "answer", "view"))
	status := answer.Status
	for _, kind := range []string{
		v1alpha1.ConditionServiceAccountReady, v1alpha1.ConditionRolesReady,
		v1alpha1.ConditionClusterRolesReady, v1alpha1.ConditionTokenRetrieved,
	} {
		assert.True(t, meta.IsStatusConditionTrue(status.Conditions, kind), "condition %s: %v", kind, status.Conditions)
	}
	assert.Equal(t, shared.Bravelion.Server(), status.Cluster.Server)
	assert.Equal(t, shared.Bravelion.CA(), status.Cluster.CertificateAuthorityData)
	lifetime := status.ExpirationTimestamp.Sub(status.RefreshAfter.Time)
	assert.InDelta(t, 12, lifetime.Minutes(), 1, "refreshAfter before the end of an hour")
	member := testenv.Kube(t, fromKubeconfig(t, answer))
	_, err := member.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	assert.NoError(t, err, "the kubeconfig of the answer does not work")
	_, err = member.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{})
	assert.True(t, apierrors.IsForbidden(err), "the member answers to view's list of Secrets: %v", err)
}

// Every form is answered with the same entitlement.
func TestMint_Forms(t *testing.T) {
	r := request("bravelion", "forms", "view")
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			answer, _, err := ask(t.Context(), shared.Hub.RESTConfig(), f, r, metav1.CreateOptions{})
			require.NoError(t, err)
			assert.Equal(t, f.kind, answer.TypeMeta)
			_, err = testenv.Kube(t, fromKubeconfig(t, answer)).CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
			assert.NoError(t, err)
		})
	}
	onMember := shared.Bravelion.Kube(t)
	accounts := testenv.List(t, onMember.CoreV1().ServiceAccounts("default"), metav1.ListOptions{FieldSelector: "metadata.name=forms"})
	require.Len(t, accounts.Items, 1)
	labels := accounts.Items[0].Labels
	ofGrant := metav1.ListOptions{LabelSelector: grant.LabelGrantUID + "=" + labels[grant.LabelGrantUID]}
	bindings := testenv.List(t, onMember.RbacV1().ClusterRoleBindings(), ofGrant)
	assert.Len(t, bindings.Items, 1, "ClusterRoleBindings for one entitlement")
}

// A warm mint is one call to the member.
func TestMint_Warm(t *testing.T) {
	r := request("bravelion", "warm", "view")
	mintFor(t, shared.Hub.RESTConfig(), r)
	from := time.Now()
	const times = 5
	for range times {
		mintFor(t, shared.Hub.RESTConfig(), r)
	}
	calls := memberCalls(t, shared.Bravelion, from)
	var others []string
	tokens := 0
	for _, call := range calls {
		if strings.Contains(call.RequestURI, "/serviceaccounts/warm/token") {
			tokens++
			continue
		}
		others = append(others, call.Verb+" "+call.RequestURI)
	}
	// A call that was cut off on a busy machine is made again: less than two each are one each.
	assert.GreaterOrEqual(t, tokens, times)
	assert.Less(t, tokens, 2*times)
	assert.Empty(t, others)
}

// memberCalls returns what the member's audit log has of clusterpass since from.
func memberCalls(t *testing.T, member *testenv.Cluster, from time.Time) []auditv1.Event {
	t.Helper()
	var calls []auditv1.Event
	member.EachAuditEvent(t, func(event *auditv1.Event) {
		ours := strings.HasPrefix(event.User.Username, "system:serviceaccount:clusterpass-system:")
		if ours && event.Stage == auditv1.StageResponseComplete && event.RequestReceivedTimestamp.After(from) {
			calls = append(calls, *event)
		}
	})
	return calls
}

// A dry run changes nothing anywhere.
func TestMint_DryRun(t *testing.T) {
	before, hubBefore, from := objects(t, shared.Bravelion), objects(t, shared.Hub), time.Now()
	r := request("bravelion", "dry", "cluster-admin")
	r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "made",
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}}
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			answer, _, err := ask(t.Context(), shared.Hub.RESTConfig(), f, r, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			require.NoError(t, err)
			assert.Empty(t, answer.Status.Token)
			assert.Empty(t, answer.Status.Kubeconfig)
			condition := meta.FindStatusCondition(answer.Status.Conditions, v1alpha1.ConditionServiceAccountReady)
			require.NotNil(t, condition)
			assert.Equal(t, v1alpha1.ReasonDryRun, condition.Reason)
			assert.Contains(t, condition.Message, "default/dry")
		})
	}
	assert.Empty(t, memberCalls(t, shared.Bravelion, from), "calls to the member")
	expectSame(t, before, objects(t, shared.Bravelion))
	expectSame(t, hubBefore, objects(t, shared.Hub))
}

func expectSame(t *testing.T, before, after []string) {
	t.Helper()
	assert.Empty(t, cmp.Diff(before, after), "-before +after")
}

// A long expiration is never shortened silently.
func TestMint_LongExpiration(t *testing.T) {
	tests := map[string]struct {
		cluster  string
		asked    time.Duration
		granted  time.Duration
		warnings []string
	}{
		"by this server": {"bravelion", 48 * time.Hour, 24 * time.Hour, []string{"86400 seconds, the maximum of this server"}},
		"by the member":  {"smartfish", 24 * time.Hour, 12 * time.Hour, []string{"43200 seconds by the cluster itself"}},
		"by both":        {"smartfish", 48 * time.Hour, 12 * time.Hour, []string{"the maximum of this server", "by the cluster itself"}},
		"by nobody":      {"bravelion", 24 * time.Hour, 24 * time.Hour, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request(test.cluster, "long", "view")
			r.Spec.ExpirationSeconds = ptr.To(int64(test.asked.Seconds()))
			answer, warnings, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], r, metav1.CreateOptions{})
			require.NoError(t, err)
			require.Len(t, warnings, len(test.warnings))
			for i, want := range test.warnings {
				assert.Contains(t, warnings[i], want)
			}
			left := time.Until(answer.Status.ExpirationTimestamp.Time)
			assert.LessOrEqual(t, left, test.granted)
			assert.GreaterOrEqual(t, left, test.granted-time.Hour)
		})
	}
}

// Inline rules are honoured, and no more.
func TestMint_InlineRules(t *testing.T) {
	pods := []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"pods"}}}
	maps := []rbacv1.PolicyRule{{Verbs: []string{"create", "list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}
	r := request("bravelion", "rules")
	r.Spec.ClusterRoles = []v1alpha1.ClusterRole{{Name: "pods", Rules: pods}}
	r.Spec.Roles = []v1alpha1.Role{{Namespace: "default", Name: "maps", Rules: maps}}
	answer := mintFor(t, shared.Hub.RESTConfig(), r)
	ctx, member := t.Context(), testenv.Kube(t, fromKubeconfig(t, answer))

	_, err := member.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})
	assert.NoError(t, err, "the ClusterRole's rules do not hold in every namespace")
	_, err = member.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{})
	assert.NoError(t, err, "the Role's rules do not hold in its namespace")
	_, err = member.CoreV1().ConfigMaps("kube-system").List(ctx, metav1.ListOptions{})
	assert.True(t, apierrors.IsForbidden(err), "outside the Role's namespace: %v", err)
	_, err = member.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
	assert.True(t, apierrors.IsForbidden(err), "beyond the rules: %v", err)

	admin := shared.Bravelion.Kube(t)
	account := testenv.Get(t, admin.CoreV1().ServiceAccounts("default"), "rules")
	name := grant.Prefix + account.Labels[grant.LabelGrantUID] + ":pods"
	role := testenv.Get(t, admin.RbacV1().ClusterRoles(), name)
	assert.True(t, equality.Semantic.DeepEqual(role.Rules, pods), "%v", role.Rules)
	theft := request("bravelion", "thief", name)
	_, _, err = ask(ctx, shared.Hub.RESTConfig(), forms[0], theft, metav1.CreateOptions{})
	assert.True(t, apierrors.IsInvalid(err), "a role made for one request was bound by another: %v", err)
}

// What is on the member and not ours is refused, and untouched.
func TestMint_ForeignObjects(t *testing.T) {
	ctx, member := t.Context(), shared.Bravelion.Kube(t)
	powerful := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "powerful"}}
	testenv.Create(t, member.CoreV1().ServiceAccounts("default"), powerful)
	mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "taken", "cluster-admin"))
	elsewhere := request("bravelion", "elsewhere", "view")
	mintFor(t, shared.Hub.RESTConfig(), elsewhere)

	tests := map[string]struct {
		request *v1alpha1.AuthTokenRequest
		words   string
	}{
		"a ServiceAccount that somebody else made": {request("bravelion", "powerful"), "was not made by clusterpass"},
		"the account of a grant with more roles": {request("bravelion", "taken", "view"),
			"clusterRoles: granted [cluster-admin], asked for [view]"},
		"the account of a grant, without roles": {request("bravelion", "taken"), "clusterRoles: granted [cluster-admin], asked for []"},
	}
	user := grantTo(t, "no-updater", mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "in:default"))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := objects(t, shared.Bravelion)
			_, _, err := ask(ctx, user, forms[0], test.request, metav1.CreateOptions{})
			assert.True(t, apierrors.IsConflict(err), "%v", err)
			assert.ErrorContains(t, err, test.words)
			expectSame(t, before, objects(t, shared.Bravelion))
		})
	}
}

// A request that fails half way leaves nothing.
func TestMint_FailureHalfWay(t *testing.T) {
	before := objects(t, shared.Bravelion)
	_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], request("bravelion", "half", "view", "no-such-role"),
		metav1.CreateOptions{})
	assert.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "no-such-role")
	expectSame(t, before, objects(t, shared.Bravelion))
	mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "half", "view"))
}

// Racing requests for one ServiceAccount never mix their rights.
func TestMint_RacingRequests(t *testing.T) {
	const racers = 8
	roles := []string{"view", "cluster-admin"}
	errs := make([]error, racers)
	user := grantTo(t, "racer", mayRequest(), mayMint("bravelion"), mayUse("bravelion", "bind:view", "bind:cluster-admin", "in:default"))
	var racing sync.WaitGroup
	for i := range racers {
		racing.Go(func() {
			_, _, errs[i] = ask(t.Context(), user, forms[0], request("bravelion", "raced", roles[i%2]), metav1.CreateOptions{})
		})
	}
	racing.Wait()
	won := map[string]int{}
	for i, err := range errs {
		if err == nil {
			won[roles[i%2]]++
			continue
		}
		assert.True(t, apierrors.IsConflict(err), "racer %d: %v, want a token or 409", i, err)
		assert.ErrorContains(t, err, "may not update it")
	}
	assert.Len(t, won, 1, "tokens by role")
	bindings := testenv.List(t, shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings(), metav1.ListOptions{})
	bound := map[string]bool{}
	for _, binding := range bindings.Items {
		for _, subject := range binding.Subjects {
			if subject.Kind == rbacv1.ServiceAccountKind && subject.Name == "raced" {
				bound[binding.RoleRef.Name] = true
			}
		}
	}
	assert.Len(t, bound, 1, "roles that the ServiceAccount is bound to")
}

// A binding left by a deleted ServiceAccount lends nothing to the next.
func TestMint_BindingLeft(t *testing.T) {
	ctx, admin := t.Context(), shared.Bravelion.Kube(t)
	first := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "reused", "cluster-admin"))
	require.NoError(t, admin.CoreV1().ServiceAccounts("default").Delete(ctx, "reused", metav1.DeleteOptions{}))
	forget(t, first.Status.GrantName)
	answer := mintFor(t, shared.Hub.RESTConfig(), request("bravelion", "reused", "view"))
	member := testenv.Kube(t, fromKubeconfig(t, answer))
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := member.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
		if !apierrors.IsForbidden(err) {
			return errors.Join(errors.New("view inherited cluster-admin"), err)
		}
		return nil
	})
}

// Deleting the Secret ends its tokens, and the next mint repairs.
func TestMint_SecretDeleted(t *testing.T) {
	ctx, admin := t.Context(), shared.Bravelion.Kube(t)
	r := request("bravelion", "fenced", "view")
	first := mintFor(t, shared.Hub.RESTConfig(), r)
	account := testenv.Get(t, admin.CoreV1().ServiceAccounts("default"), "fenced")
	secret := "clusterpass-" + account.Labels[grant.LabelGrantUID]
	require.NoError(t, admin.CoreV1().Secrets("default").Delete(ctx, secret, metav1.DeleteOptions{}))
	second := mintFor(t, shared.Hub.RESTConfig(), r)
	_, err := testenv.Kube(t, fromKubeconfig(t, second)).CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	assert.NoError(t, err, "the token after the repair does not work")
	old := testenv.Kube(t, fromKubeconfig(t, first))
	testenv.Eventually(t, func(ctx context.Context) error {
		if _, err := old.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			return errors.Join(errors.New("the token outlives the Secret that it is bound to"), err)
		}
		return nil
	})
}

func TestMint_Preconditions(t *testing.T) {
	admin := shared.Hub.RESTConfig()
	tests := map[string]struct {
		change func(r *v1alpha1.AuthTokenRequest)
		is     func(error) bool
	}{
		"no such ClusterProfile": {func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.Name = "missing" }, apierrors.IsNotFound},
		"another uid":            {func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.UID = "other" }, apierrors.IsConflict},
		"another namespace": {func(r *v1alpha1.AuthTokenRequest) { r.Spec.TargetClusterProfile.Namespace = "kube-public" },
			apierrors.IsNotFound},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := request("bravelion", "preconditions", "view")
			test.change(r)
			_, _, err := ask(t.Context(), admin, forms[0], r, metav1.CreateOptions{})
			assert.True(t, test.is(err), "%v", err)
		})
	}
}

// A cancelled request leaves no token behind it.
func TestMint_Cancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := objects(t, shared.Bravelion)
	_, _, err := ask(ctx, shared.Hub.RESTConfig(), forms[0], request("bravelion", "cancelled", "view"), metav1.CreateOptions{})
	assert.Error(t, err, "a cancelled request was answered")
	expectSame(t, before, objects(t, shared.Bravelion))
}

// tableOf returns the answer to r as a client gets it that asks for a table with whole objects.
func tableOf(t *testing.T, config *rest.Config, r *v1alpha1.AuthTokenRequest) string {
	t.Helper()
	body := r.DeepCopy()
	body.TypeMeta = forms[0].kind
	encoded := testenv.Must[[]byte](t)(json.Marshal(body))
	raw := testenv.Must[[]byte](t)(testenv.Kube(t, config).CoreV1().RESTClient().Post().AbsPath(forms[0].path("default", "")).
		Param("includeObject", "Object").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").
		SetHeader("Content-Type", "application/json").Body(encoded).DoRaw(t.Context()))
	return string(raw)
}

// The table never holds the token.
func TestMint_Table(t *testing.T) {
	r := request("bravelion", "table", "view")
	token := mintFor(t, shared.Hub.RESTConfig(), r).Status.Token
	header, _, _ := strings.Cut(token, ".")
	table := tableOf(t, shared.Hub.RESTConfig(), r)
	assert.NotContains(t, table, header, "the table holds a token")
	for _, want := range []string{"bravelion", "default/table", "Expires"} {
		assert.Contains(t, table, want)
	}
}
