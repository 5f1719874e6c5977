// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

func objectMeta(namespace, name string, uid types.UID, labels map[string]string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name, UID: uid, Labels: labels}
}

// accounts returns all ServiceAccounts of a member.
func accounts(t *testing.T, client kubernetes.Interface) []corev1.ServiceAccount {
	t.Helper()
	list, err := client.CoreV1().ServiceAccounts("").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	return list.Items
}

// TestKeeper_Remove removes a grant whose objects carry labels that are not what the keeper would
// give them.
func TestKeeper_Remove(t *testing.T) {
	for name, test := range map[string]struct {
		labels  map[string]string
		account bool
	}{
		"what is as it was made goes":                                  {labelsOf(ManagedBy, "hub", "grant-1"), false},
		"what was made while the hub had another id goes":              {labelsOf(ManagedBy, "before", "grant-1"), false},
		"what lost its labels on the member goes, but for the account": {nil, true},
		"an account of another grant stays":                            {labelsOf(ManagedBy, "hub", "grant-2"), true},
	} {
		t.Run(name, func(t *testing.T) {
			g := testGrant()
			account := g.Spec.ServiceAccount
			binding := BindingName(g.UID, "view")
			client := fake.NewClientset(
				&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: binding, UID: "a", Labels: test.labels}},
				&corev1.Secret{ObjectMeta: objectMeta(account.Namespace, SecretName(g.UID), "b", test.labels)},
				&corev1.ServiceAccount{ObjectMeta: objectMeta(account.Namespace, account.Name, "c", test.labels)},
			)
			keeper := &Keeper{HubID: "hub", Grant: g, Client: client, Clock: testingclock.NewFakeClock(time.Now())}
			require.NoError(t, keeper.Remove(t.Context(), []v1alpha1.MemberObject{
				{Kind: kindClusterRoleBinding, Name: binding},
				{Kind: kindSecret, Namespace: account.Namespace, Name: SecretName(g.UID)},
				{Kind: kindServiceAccount, Namespace: account.Namespace, Name: account.Name},
			}))
			bindings, err := client.RbacV1().ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			assert.Empty(t, bindings.Items, "no right stays")
			secrets, err := client.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			assert.Empty(t, secrets.Items, "no token stays")
			assert.Equal(t, test.account, len(accounts(t, client)) == 1)
		})
	}
}

// Of the objects of a grant, the account stays until nothing else is left.
func TestKeeper_RemoveFailed(t *testing.T) {
	g := testGrant()
	secret := v1alpha1.MemberObject{Kind: kindSecret, Namespace: g.Spec.ServiceAccount.Namespace, Name: SecretName(g.UID)}
	account := v1alpha1.MemberObject{Kind: kindServiceAccount, Namespace: secret.Namespace, Name: g.Spec.ServiceAccount.Name}
	labels := map[string]string{LabelGrantUID: string(g.UID)}
	client := fake.NewClientset(
		&corev1.Secret{ObjectMeta: objectMeta(secret.Namespace, secret.Name, "", labels)},
		&corev1.ServiceAccount{ObjectMeta: objectMeta(account.Namespace, account.Name, "", labels)},
	)
	failing := true
	client.PrependReactor("delete", "secrets", func(clienttesting.Action) (bool, runtime.Object, error) {
		return failing, nil, apierrors.NewForbidden(corev1.Resource("secrets"), secret.Name, errors.New("no"))
	})
	keeper := &Keeper{HubID: "hub", Grant: g, Client: client}
	err := keeper.Remove(t.Context(), []v1alpha1.MemberObject{account, secret})
	require.ErrorContains(t, err, "removing Secret "+secret.Name)
	assert.True(t, IsRefused(err))
	assert.Len(t, accounts(t, client), 1)
	failing = false
	require.NoError(t, keeper.Remove(t.Context(), []v1alpha1.MemberObject{account, secret}))
	assert.Empty(t, accounts(t, client))
}

// An object that has taken the name of another one is not removed in its place.
func TestRemoveExactly(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: objectMeta("default", SecretName("grant-1"), "secret", nil)})
	object := func(kind string, uid, grantUID types.UID) Object {
		return Object{MemberObject: v1alpha1.MemberObject{Kind: kind, Namespace: "default", Name: "x"}, UID: uid, Grant: grantUID}
	}
	var removed []types.UID
	client.PrependReactor("delete", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		removed = append(removed, *action.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions.UID)
		return true, nil, apierrors.NewConflict(action.GetResource().GroupResource(), "", errors.New("the UID is another"))
	})
	for _, kinds := range removalOrder {
		for _, kind := range kinds {
			require.NoError(t, RemoveExactly(t.Context(), client, object(kind, types.UID(kind), "grant-2")), "it has been replaced")
		}
	}
	assert.Equal(t, []types.UID{kindClusterRoleBinding, kindRoleBinding, kindSecret, kindClusterRole, kindRole, kindServiceAccount}, removed,
		"and the Secret of another grant stays")

	account := object(kindServiceAccount, "account", "grant-1")
	client.PrependReactor("delete", "secrets", func(action clienttesting.Action) (bool, runtime.Object, error) {
		removed = append(removed, *action.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions.UID)
		return true, nil, nil
	})
	removed = nil
	require.NoError(t, RemoveExactly(t.Context(), client, account))
	assert.Equal(t, []types.UID{"secret", "account"}, removed, "the tokens of an account end first")
}
