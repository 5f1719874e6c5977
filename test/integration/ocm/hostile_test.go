// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// testForeignLabel has a tenant make a ClusterProfile that says all that OCM's says, and more.
func (f *fleet) testForeignLabel(t *testing.T) {
	t.Helper()
	const tenant = "tenant"
	before := len(f.grants(t, ""))
	f.apply(t, `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+tenant+`"}}`)
	f.applyExample(t, tenant, "rbac", "bravelion-viewer.yaml")
	forged := testenv.NewProfile(bravelion, tenant)
	forged.Labels = map[string]string{
		"open-cluster-management.io/cluster-name": bravelion, "multicluster.x-k8s.io/inventory-member-id": bravelion + "-id",
	}
	forged.Annotations = map[string]string{member.ClusterProfileAnnotation: team + "/" + bravelion}
	testenv.Create(t, f.profiles(t, tenant), forged)
	status := fmt.Sprintf(`{"status":{"accessProviders":[{"name":"kubeconfig-secretreader",`+
		`"cluster":{"server":%q,"certificate-authority-data":%q,`+
		`"extensions":[{"name":"client.authentication.k8s.io/exec","extension":{"name":%q,"namespace":%q}}]}}]}}`,
		f.member.Server(), base64.StdEncoding.EncodeToString(f.member.CA()), f.secret(t).Name, testenv.SystemNamespace)

	_, err := f.create(t.Context(), t, tenant, "thief")
	require.ErrorContains(t, err, "ServiceUnavailable", "by labels")
	testenv.Patch(t, f.profiles(t, tenant), bravelion, status, "status")
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := f.create(ctx, t, tenant, "thief")
		if err == nil || !strings.Contains(err.Error(), "is not for this cluster") {
			return fmt.Errorf("by the name of the Secret: %w", err)
		}
		return nil
	})
	assert.Len(t, f.grants(t, ""), before)
	_, err = f.member.Kube(t).CoreV1().ServiceAccounts("default").Get(t.Context(), "thief", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "the member has heard of it: %v", err)
	f.expectToken(t, team, "work")
	require.NoError(t, f.profiles(t, tenant).Delete(t.Context(), bravelion, metav1.DeleteOptions{}))
}

// testRefusedCredential has the member refuse the credential in the Secret, until it is replaced.
func (f *fleet) testRefusedCredential(t *testing.T) {
	t.Helper()
	before, secrets := f.writes(t), f.hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	good := f.secret(t)
	bad := good.DeepCopy()
	config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.Load(bad.Data["kubeconfig"]))
	for _, auth := range config.AuthInfos {
		auth.Token = "refused"
	}
	bad.Data["kubeconfig"] = testenv.Must[[]byte](t)(clientcmd.Write(*config))
	bad = testenv.Update(t, secrets, bad)
	for _, namespace := range []string{team, partner} {
		f.expectEvent(t, namespace, "AccessFailed", "Unauthorized: ")
	}
	_, err := f.create(t.Context(), t, team, "work")
	require.ErrorContains(t, err, "ServiceUnavailable")
	profile := testenv.Get(t, f.profiles(t, team), bravelion)
	assert.True(t, meta.IsStatusConditionTrue(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy), "OCM says so")

	bad.Data = good.Data
	testenv.Update(t, secrets, bad)
	for _, namespace := range []string{team, partner} {
		f.expectEvent(t, namespace, "AccessRestored", "")
	}
	f.expectToken(t, team, "work")
	assert.Equal(t, before, f.writes(t))
}

// expectEvent waits until there is an event about bravelion's profile.
func (f *fleet) expectEvent(t *testing.T, namespace, reason, words string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		events, err := f.hub.Kube(t).EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range events.Items {
			if e := &events.Items[i]; e.Regarding.Name == bravelion && e.Reason == reason && strings.Contains(e.Note, words) {
				return nil
			}
		}
		return fmt.Errorf("no event %s", reason)
	})
}
