// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// denying is a profile of smartfish whose credential may everything there: what is denied, RBAC
// does not deny.
const denying = "denying"

// An ordinary user learns whether a member's quota, its policies or a namespace that is being
// deleted is in the way.
func TestDenial(t *testing.T) {
	createSecret(t, denying)
	join(t, denying, denying)
	t.Cleanup(func() { leave(t, denying) })
	user := grantTo(t, "denied", mayRequest(), mayMint(denying),
		mayUse(denying, "bind:view", "in:quota-accounts", "in:quota-secrets", "in:denied-by-policy", "in:ending"))
	onMember := shared.Smartfish.Kube(t)

	t.Run("a quota of ServiceAccounts", func(t *testing.T) {
		lift := quota(t, onMember, "quota-accounts", "count/serviceaccounts")
		expectDenial(t, user, "quota-accounts", member.ReasonQuotaExceeded, member.CauseQuota, 30, "exceeded quota: none")
		lift()
		testenv.Eventually(t, func(context.Context) error { return askIn(t, user, "quota-accounts") })
	})
	t.Run("a quota of Secrets, and nothing is left", func(t *testing.T) {
		lift := quota(t, onMember, "quota-secrets", "count/secrets")
		expectDenial(t, user, "quota-secrets", member.ReasonQuotaExceeded, member.CauseQuota, 30, "exceeded quota: none")
		lift()
	})
	t.Run("a policy", func(t *testing.T) {
		denyBindings(t, onMember, "denied-by-policy")
		expectDenial(t, user, "denied-by-policy", member.ReasonPolicyDenied, member.CausePolicy, 0, "no bindings for denied-by-policy")
	})
	t.Run("a namespace that is being deleted", func(t *testing.T) {
		end := endingNamespace(t, onMember, "ending")
		expectDenial(t, user, "ending", member.ReasonNamespaceTerminating, member.CauseTerminating, 15, "is being terminated")
		end()
	})
	t.Run("kubectl says so", func(t *testing.T) {
		lift := quota(t, onMember, "quota-accounts", "count/serviceaccounts")
		defer lift()
		body := fmt.Sprintf(`{"apiVersion":"clusterpass.dev/v1alpha1","kind":"AuthTokenRequest","spec":{"targetClusterProfile":{"name":%q},`+
			`"serviceAccountName":"second","serviceAccountNamespace":"quota-accounts","clusterRoles":[{"name":"view"}]}}`, denying)
		testenv.Eventually(t, func(context.Context) error { // the member's admission follows its quotas
			_, err := testenv.Kubectl(t.Context(), kubeconfigFor(t, user), body, "create", "--raw",
				"/apis/clusterpass.dev/v1alpha1/namespaces/default/authtokenrequests", "-f", "-")
			if err == nil || !strings.Contains(err.Error(), "(MemberQuotaExceeded)") {
				return fmt.Errorf("kubectl says: %w", err)
			}
			return nil
		})
	})
}

// expectDenial asks for a token in a namespace of the member, and looks at what is left there
// afterwards.
func expectDenial(
	t *testing.T, user *rest.Config, namespace string, reason metav1.StatusReason, cause metav1.CauseType, retryAfter int32, words string,
) {
	t.Helper()
	err := askIn(t, user, namespace)
	var status apierrors.APIStatus
	require.ErrorAs(t, err, &status)
	is := status.Status()
	assert.EqualValues(t, http.StatusConflict, is.Code)
	assert.Equal(t, reason, is.Reason)
	assert.Equal(t, retryAfter, is.Details.RetryAfterSeconds)
	assert.True(t, apierrors.HasStatusCause(err, cause), "%+v", is.Details)
	assert.Contains(t, is.Message, words)
	assert.NotContains(t, is.Message, "does not allow clusterpass")
	_, err = grants(t).Get(t.Context(), grantNameOf(t, requestIn(namespace)), metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "a grant is left of what was denied: %v", err)
	onMember := shared.Smartfish.Kube(t)
	_, err = onMember.CoreV1().ServiceAccounts(namespace).Get(t.Context(), "denied", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "a ServiceAccount is left of what was denied: %v", err)
}

func requestIn(namespace string) *v1alpha1.AuthTokenRequest {
	r := request(denying, "denied", "view")
	r.Spec.ServiceAccountNamespace = namespace
	return r
}

func askIn(t *testing.T, user *rest.Config, namespace string) error {
	t.Helper()
	_, _, err := ask(t.Context(), user, forms[0], requestIn(namespace), metav1.CreateOptions{})
	return err
}

// quota lets a namespace of the member have none of a resource, until lift is called. Members run
// no controller that counts: its answer is written here.
func quota(t *testing.T, onMember kubernetes.Interface, namespace, of string) (lift func()) {
	t.Helper()
	ctx := t.Context()
	_, err := onMember.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		require.NoError(t, err)
	}
	none := corev1.ResourceList{corev1.ResourceName(of): resource.MustParse("0")}
	quotas := onMember.CoreV1().ResourceQuotas(namespace)
	created := testenv.Create(t, quotas, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none},
	})
	created.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	testenv.UpdateStatus(t, quotas, created)
	untilDenied(t, func(ctx context.Context) error {
		return tryCreate(ctx, onMember, namespace, of)
	}, "exceeded quota")
	return func() {
		t.Helper()
		assert.NoError(t, quotas.Delete(ctx, "none", metav1.DeleteOptions{}))
	}
}

// tryCreate makes what a quota counts, and takes it away again. A dry run is not counted.
func tryCreate(ctx context.Context, onMember kubernetes.Interface, namespace, of string) (err error) {
	probe := metav1.ObjectMeta{Name: "probe"}
	if of == "count/secrets" {
		if _, err = onMember.CoreV1().Secrets(namespace).Create(ctx, &corev1.Secret{ObjectMeta: probe}, metav1.CreateOptions{}); err == nil {
			err = onMember.CoreV1().Secrets(namespace).Delete(ctx, probe.Name, metav1.DeleteOptions{})
		}
		return err
	}
	if _, err = onMember.CoreV1().ServiceAccounts(namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: probe},
		metav1.CreateOptions{}); err == nil {
		err = onMember.CoreV1().ServiceAccounts(namespace).Delete(ctx, probe.Name, metav1.DeleteOptions{})
	}
	return err
}

// untilDenied waits until the member denies what do does, by these words: its admission follows
// what it goes by.
func untilDenied(t *testing.T, do func(ctx context.Context) error, words string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		if err := do(ctx); err == nil || !strings.Contains(err.Error(), words) {
			return fmt.Errorf("not denied yet: %w", err)
		}
		return nil
	})
}

// denyBindings has a policy of the member deny ClusterRoleBindings to accounts of a namespace,
// until the test ends.
func denyBindings(t *testing.T, onMember kubernetes.Interface, namespace string) {
	t.Helper()
	ctx, policies := t.Context(), onMember.AdmissionregistrationV1()
	testenv.Create(t, policies.ValidatingAdmissionPolicies(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
					Rule: admissionregistrationv1.Rule{APIGroups: []string{rbacv1.GroupName}, APIVersions: []string{"v1"},
						Resources: []string{"clusterrolebindings"}},
				},
			}}},
			Validations: []admissionregistrationv1.Validation{{
				Expression: fmt.Sprintf(`!has(object.subjects) || object.subjects.all(s, !has(s.namespace) || s.namespace != %q)`, namespace),
				Message:    "no bindings for " + namespace,
			}},
		},
	})
	testenv.Create(t, policies.ValidatingAdmissionPolicyBindings(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: namespace, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	})
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		_ = policies.ValidatingAdmissionPolicyBindings().Delete(ctx, namespace, metav1.DeleteOptions{})
		_ = policies.ValidatingAdmissionPolicies().Delete(ctx, namespace, metav1.DeleteOptions{})
	})
	untilDenied(t, func(ctx context.Context) error {
		_, err := onMember.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "probe"}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}, "denied request")
}

// endingNamespace has a namespace of the member be deleted, for as long as something in it has a
// finalizer: until end is called.
func endingNamespace(t *testing.T, onMember kubernetes.Interface, name string) (end func()) {
	t.Helper()
	ctx := t.Context()
	testenv.Create(t, onMember.CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	maps := onMember.CoreV1().ConfigMaps(name)
	held := testenv.Create(t, maps, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.com/held"}},
	})
	require.NoError(t, onMember.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}))
	untilDenied(t, func(ctx context.Context) error {
		_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}},
			metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}, "is being terminated")
	return func() {
		t.Helper()
		held = testenv.Get(t, maps, held.Name)
		held.Finalizers = nil
		testenv.Update(t, maps, held)
	}
}
