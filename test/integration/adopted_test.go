// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// A Secret that names a profile of another platform is enough, and nobody writes to the profile.
func TestAdopted(t *testing.T) {
	const name = "adopted"
	ctx, profiles, secrets := t.Context(), profilesIn(t, "default"), shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	user := grantTo(t, "adopted:user", mayRequest(), mayMint(name), mayUse(name, "bind:view", "in:default"))
	dryRun := func(words string) {
		t.Helper()
		testenv.Eventually(t, func(ctx context.Context) error {
			_, _, err := ask(ctx, user, forms[0], request(name, name, "view"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if words != "" && err == nil {
				return errors.New("it is not refused yet")
			}
			if words != "" {
				expectRefusal(t, err, http.StatusServiceUnavailable, words)
				return nil
			}
			return err
		})
	}
	create := func() *inventoryv1alpha1.ClusterProfile {
		t.Helper()
		profile := testenv.Create(t, profiles, testenv.NewProfile(name, "open-cluster-management"))
		profile.Status.AccessProviders = []inventoryv1alpha1.AccessProvider{
			{Name: "open-cluster-management", Cluster: clientcmdv1.Cluster{Server: "https://proxy.example.com"}},
		}
		return testenv.UpdateStatus(t, profiles, profile)
	}
	change := func(of string, change func(*corev1.Secret)) {
		t.Helper()
		secret := testenv.Get(t, secrets, of)
		change(secret)
		_, err := secrets.Update(ctx, secret, metav1.UpdateOptions{})
		require.NoError(t, err)
	}

	before := create()
	dryRun("no Secret with label clusterpass.dev/member-kubeconfig=true names it")
	secret := adminSecret(t, name)
	secret.Annotations[member.ClusterProfileAnnotation] = "elsewhere/" + name + ", default/" + name
	storeSecret(t, testenv.SystemNamespace, secret)
	dryRun("")

	out, _, err := testenv.KubectlOf(ctx, "kubectl", kubeconfigFor(t, user), manifest(topLevel[0], name, name, ""),
		"create", "-f", "-", "-o", "json")
	require.NoError(t, err)
	var answer v1alpha1.AuthTokenRequest
	require.NoError(t, json.Unmarshal([]byte(out), &answer))
	remember(answer.Status.Token)
	_, err = testenv.Kube(t, withToken(shared.Bravelion, answer.Status.Token)).CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	require.NoError(t, err, "the token works on the member")
	assert.Equal(t, before.ResourceVersion, testenv.Get(t, profiles, name).ResourceVersion, "nobody has written to the profile")
	granted := getGrant(t, answer.Status.GrantName)
	require.NotNil(t, granted.Status.AccessProvider)
	assert.Equal(t, shared.Bravelion.Server(), granted.Status.AccessProvider.Cluster.Server)
	assert.JSONEq(t, `{"name":"adopted","namespace":"clusterpass-system"}`,
		string(granted.Status.AccessProvider.Cluster.Extensions[0].Extension.Raw))

	t.Run("a profile of its name elsewhere has no access unless the Secret names it", func(t *testing.T) {
		tenant := newNamespace(t)
		testenv.Create(t, profilesIn(t, tenant), testenv.NewProfile(name, "open-cluster-management"))
		there := request(name, name, "view")
		there.Spec.TargetClusterProfile.Namespace = tenant
		_, _, err := askFrom(ctx, shared.Hub.RESTConfig(), forms[0], "default", there, metav1.CreateOptions{})
		expectRefusal(t, err, http.StatusServiceUnavailable, "no Secret with label")
	})
	t.Run("two Secrets that name it are refused by their names", func(t *testing.T) {
		second := adminSecret(t, name)
		second.Name = name + "-too"
		storeSecret(t, testenv.SystemNamespace, second)
		dryRun("several Secrets name it in the annotation clusterpass.dev/cluster-profile, and only one may: " +
			"clusterpass-system/adopted and clusterpass-system/adopted-too")
		require.NoError(t, secrets.Delete(ctx, second.Name, metav1.DeleteOptions{}))
		dryRun("")
	})
	t.Run("a Secret that was made for another cluster gives no token", func(t *testing.T) {
		change(name, func(s *corev1.Secret) {
			metav1.SetMetaDataAnnotation(&s.ObjectMeta, member.MemberUIDAnnotation, "of-another-cluster")
		})
		testenv.Eventually(t, func(ctx context.Context) error {
			_, _, err := ask(ctx, user, forms[0], request(name, name+"-other", "view"), metav1.CreateOptions{})
			if err == nil {
				return errors.New("it is not refused yet")
			}
			expectRefusal(t, err, http.StatusConflict, "its Secret leads to another cluster than it was made for")
			return nil
		})
		expectNothingGranted(t, name+"-other")
		system := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem)
		change(name, func(s *corev1.Secret) { s.Annotations[member.MemberUIDAnnotation] = string(system.UID) })
	})
	t.Run("a profile that is made again leads to the same member, with a grant of its own", func(t *testing.T) {
		require.NoError(t, profiles.Delete(ctx, name, metav1.DeleteOptions{}))
		again := create()
		var renewed *v1alpha1.AuthTokenRequest
		testenv.Eventually(t, func(ctx context.Context) (err error) {
			renewed, _, err = ask(ctx, user, forms[0], request(name, name+"-again", "view"), metav1.CreateOptions{})
			return err
		})
		assert.Equal(t, again.UID, getGrant(t, renewed.Status.GrantName).Spec.ClusterProfile.UID)
	})
}
