// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
)

// The hub, which is its own member, has ClusterProfiles as upstream's CRD: what Join does must not
// depend on our server.
func TestJoin(t *testing.T) {
	ctx := t.Context()
	hub := Start(t, Options{Name: "hub"})
	member := hub
	installInventoryCRD(t, hub)
	profiles, secrets := hub.Inventory(t).ApisV1alpha1().ClusterProfiles("fleet"), hub.Kube(t).CoreV1().Secrets(SystemNamespace)
	var profile *inventoryv1alpha1.ClusterProfile
	var secret *corev1.Secret
	read := func() {
		profile, secret = Get(t, profiles, "member"), Get(t, secrets, "member-fleet-member")
	}
	require.NoError(t, Join(ctx, hub, member, "fleet", "member"))
	read()

	t.Run("the profile points at the Secret and the Secret back at the profile", func(t *testing.T) {
		require.Equal(t, clusterManager, profile.Labels[inventoryv1alpha1.LabelClusterManagerKey])
		require.Len(t, profile.Status.AccessProviders, 1)
		provider := profile.Status.AccessProviders[0]
		require.Equal(t, member.Server(), provider.Cluster.Server)
		require.JSONEq(t, `{"name":"member-fleet-member","key":"kubeconfig","namespace":"clusterpass-system"}`,
			string(provider.Cluster.Extensions[0].Extension.Raw))
		require.Equal(t, "fleet/member", secret.Annotations[memberProfileAnnotation])
		require.Equal(t, "true", secret.Labels[memberKubeconfigLabel])
	})

	t.Run("the kubeconfig is that of clusterpass on the member, for about 30 days", func(t *testing.T) {
		config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data[memberSecretKey])
		require.NoError(t, err)
		review := Create(t, Kube(t, config).AuthenticationV1().SelfSubjectReviews(), &authenticationv1.SelfSubjectReview{})
		require.Equal(t, "system:serviceaccount:clusterpass-system:clusterpass", review.Status.UserInfo.Username)
		_, renewAt := tokenOf(secret.Data[memberSecretKey])
		require.WithinDuration(t, time.Now().Add(memberTokenLifetime/2), renewAt, time.Hour)
	})

	t.Run("joining again writes nothing", func(t *testing.T) {
		profileBefore, secretBefore := profile.ResourceVersion, secret.ResourceVersion
		require.NoError(t, Join(ctx, hub, member, "fleet", "member"))
		read()
		require.Equal(t, profileBefore, profile.ResourceVersion)
		require.Equal(t, secretBefore, secret.ResourceVersion)
	})

	t.Run("a token that the member refuses is replaced", func(t *testing.T) {
		before := secret.Data[memberSecretKey]
		// The token names the uid of its ServiceAccount, which Join creates anew.
		require.NoError(t, member.Kube(t).CoreV1().ServiceAccounts(SystemNamespace).Delete(ctx, memberServiceAccount, metav1.DeleteOptions{}))
		// The member goes on accepting it from its cache for up to 10 seconds.
		require.NoError(t, wait.PollUntilContextTimeout(ctx, time.Second, time.Minute, true, func(ctx context.Context) (bool, error) {
			if err := Join(ctx, hub, member, "fleet", "member"); err != nil {
				return false, err
			}
			read()
			return !bytes.Equal(before, secret.Data[memberSecretKey]), nil
		}))
	})
}

// installInventoryCRD makes the cluster serve upstream's ClusterProfile.
func installInventoryCRD(t *testing.T, cluster *Cluster) {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/cluster-inventory-api").Output()
	require.NoError(t, err)
	crd := filepath.Join(strings.TrimSpace(string(dir)), "config", "crd", "bases", "multicluster.x-k8s.io_clusterprofiles.yaml")
	kubectl, err := ToolPath("kubectl")
	require.NoError(t, err)
	for _, args := range [][]string{
		{"apply", "--filename=" + crd},
		{"wait", "--for=condition=Established", "crd/clusterprofiles.multicluster.x-k8s.io"},
	} {
		output, err := exec.Command(kubectl, append(args, "--kubeconfig="+cluster.Kubeconfig())...).CombinedOutput()
		require.NoError(t, err, string(output))
	}
}
