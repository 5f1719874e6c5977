// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A cluster keeps its data, and tells users apart.
func TestCluster(t *testing.T) {
	ctx := t.Context()
	cluster := Start(t, Options{Name: "member", Audit: true})
	namespaces := cluster.Kube(t).CoreV1().Namespaces()
	Create(t, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kept"}})

	t.Run("a killed etcd and kube-apiserver come back with what was written", func(t *testing.T) {
		require.NoError(t, cluster.Kill(etcdName))
		require.NoError(t, cluster.Kill(apiServerName))
		require.NoError(t, cluster.Restart(ctx, etcdName))
		require.NoError(t, cluster.Restart(ctx, apiServerName))
		Get(t, namespaces, "kept")
	})

	t.Run("a client certificate is its user and nobody else", func(t *testing.T) {
		jane := Kube(t, cluster.User(t, "jane", "developers"))
		review := Create(t, jane.AuthenticationV1().SelfSubjectReviews(), &authenticationv1.SelfSubjectReview{})
		require.Equal(t, "jane", review.Status.UserInfo.Username)
		require.ElementsMatch(t, []string{"developers", "system:authenticated"}, review.Status.UserInfo.Groups)
		_, err := jane.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		require.True(t, apierrors.IsForbidden(err), err)
	})

	t.Run("the audit log has the requests and no bodies", func(t *testing.T) {
		log := Must[[]byte](t)(os.ReadFile(cluster.AuditLog()))
		require.Contains(t, string(log), `"requestURI":"/api/v1/namespaces`)
		require.NotContains(t, string(log), "requestObject")
	})
}
