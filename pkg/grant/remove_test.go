// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	testingclock "k8s.io/utils/clock/testing"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
)

// TestKeeper_Remove removes a grant whose objects carry labels that are not what the keeper would
// give them.
func TestKeeper_Remove(t *testing.T) {
	for name, test := range map[string]struct {
		labels  map[string]string
		account bool
	}{
		"what is as it was made goes":                                  {map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "hub", LabelGrantUID: "grant-1"}, false},
		"what was made while the hub had another id goes":              {map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "before", LabelGrantUID: "grant-1"}, false},
		"what lost its labels on the member goes, but for the account": {nil, true},
		"an account of another grant stays":                            {map[string]string{LabelManagedBy: ManagedBy, LabelHubID: "hub", LabelGrantUID: "grant-2"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := testGrant()
			account := g.Spec.ServiceAccount
			binding := BindingName(g.UID, "view")
			client := fake.NewClientset(
				&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: binding, UID: "a", Labels: test.labels}},
				&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: SecretName(g.UID), UID: "b", Labels: test.labels}},
				&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account.Namespace, Name: account.Name, UID: "c", Labels: test.labels}},
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
			accounts, err := client.CoreV1().ServiceAccounts("").List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			assert.Equal(t, test.account, len(accounts.Items) == 1)
		})
	}
}
