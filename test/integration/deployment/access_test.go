// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes"

	"clusterpass.dev/test/testenv"
)

// followTimeout bounds the wait for controllers and caches of a cluster.
const followTimeout = 30 * time.Second

// access is one thing that somebody may do or may not.
type access struct {
	verb, group, namespace, resource, subresource, name string
	allowed                                             bool
}

// memberOf returns a ServiceAccount as the cluster sees it.
func memberOf(account string) user.DefaultInfo {
	return user.DefaultInfo{Name: account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:clusterpass-system"}}
}

// assertAccess asks the cluster about who, and waits while the roles just applied have yet to be
// followed.
func assertAccess(t *testing.T, client kubernetes.Interface, who user.DefaultInfo, all []access) {
	t.Helper()
	for _, a := range all {
		var status authorizationv1.SubjectAccessReviewStatus
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:   who.Name,
			Groups: append([]string{user.AllAuthenticated}, who.Groups...),
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: a.verb, Group: a.group, Namespace: a.namespace, Resource: a.resource, Subresource: a.subresource, Name: a.name,
			},
		}}
		err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, followTimeout, true, func(ctx context.Context) (bool, error) {
			answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return false, err
			}
			status = answer.Status
			return status.Allowed == a.allowed, nil
		})
		assert.NoError(t, err, "%s %v: %+v; the cluster says %+v", who.Name, who.Groups, a, status)
	}
}

// bindBuiltIn binds each ClusterRole to a group named after it, in namespace default.
func bindBuiltIn(t *testing.T, client kubernetes.Interface, roles ...string) {
	t.Helper()
	for _, role := range roles {
		users := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: role + "-users"}
		testenv.Bind(t, client, "default", users.Name, users, role)
	}
}
