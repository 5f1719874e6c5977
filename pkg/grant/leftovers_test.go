// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package grant_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/test/fakemember"
)

// A binding that names a ServiceAccount that does not exist lends it nothing when it is made.
func TestKeeper_Leftovers(t *testing.T) {
	labels := func(hub string) map[string]string {
		return map[string]string{grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: hub, grant.LabelGrantUID: "gone"}
	}
	account := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceDefault, Name: "work"}
	user := rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "system:serviceaccount:default:work"}
	clusterRoleBinding := func(labels map[string]string, subject rbacv1.Subject) runtime.Object {
		return &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "left", UID: "left", Labels: labels}, Subjects: []rbacv1.Subject{subject},
		}
	}
	roleBinding := func(labels map[string]string, subject rbacv1.Subject) runtime.Object {
		return &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "left", UID: "left", Labels: labels}, Subjects: []rbacv1.Subject{subject},
		}
	}
	const refused = `binding "left", which this hub did not make, names ServiceAccount default/work, which does not exist`
	for name, test := range map[string]struct {
		binding runtime.Object
		// removed is what is removed before the account is made.
		removed, words string
	}{
		"of another grant of this hub": {binding: clusterRoleBinding(labels("hub"), account),
			removed: "delete clusterrolebindings /left"},
		"in a namespace, by the name of its user": {binding: roleBinding(labels("hub"), user), removed: "delete rolebindings ml/left"},
		"of another hub":                          {binding: clusterRoleBinding(labels("hub-2"), account), words: refused},
		"of somebody else, in a namespace":        {binding: roleBinding(nil, account), words: refused},
		"of somebody else, by the name of a user": {binding: clusterRoleBinding(nil, user), words: refused},
		"of another account": {binding: clusterRoleBinding(nil,
			rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "ml", Name: "work"})},
	} {
		t.Run(name, func(t *testing.T) {
			member := fakemember.New(t, clock.RealClock{}, test.binding)
			client, err := member.For(t.Context(), member.Profile())
			require.NoError(t, err)
			keeper := &grant.Keeper{HubID: "hub", Grant: fakemember.NewGrant("work"), Client: client.Kubernetes(), Clock: clock.RealClock{}}
			checkErr := keeper.CheckAccount(t.Context())
			assert.Empty(t, member.Writes(), "a check changes nothing")
			_, err = keeper.Ensure(t.Context())
			if test.words != "" {
				require.ErrorContains(t, checkErr, test.words)
				require.ErrorContains(t, err, test.words)
				assert.True(t, grant.IsRefused(err))
				assert.Empty(t, member.Writes())
				return
			}
			require.NoError(t, checkErr)
			require.NoError(t, err)
			want := []string{"create serviceaccounts default/work"}
			if test.removed != "" {
				want = append([]string{test.removed}, want...)
			}
			assert.Equal(t, want, member.Writes()[:len(want)])
		})
	}
}
