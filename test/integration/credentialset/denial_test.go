// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credentialset

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// testQuota has a member's quota deny a credential: the set's status says so, and the credential is
// made when the quota is lifted.
func (f *fleet) testQuota(t *testing.T) {
	onMember := f.bravelion.Kube(t)
	quotas := onMember.CoreV1().ResourceQuotas("default")
	none := corev1.ResourceList{"count/serviceaccounts": resource.MustParse("0")}
	quota := testenv.Create(t, quotas, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none},
	})
	// Members run no controller that counts.
	quota.Status = corev1.ResourceQuotaStatus{Hard: none, Used: none}
	testenv.UpdateStatus(t, quotas, quota)
	testenv.Eventually(t, func(ctx context.Context) error { // the member's admission follows its quotas
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "probe-"}}
		if made, err := onMember.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{}); err == nil {
			_ = onMember.CoreV1().ServiceAccounts("default").Delete(ctx, made.Name, metav1.DeleteOptions{})
			return fmt.Errorf("%s was made", made.Name)
		}
		return nil
	})

	f.create(t, author, newSet("over-quota", "bravelion"))
	set := f.until(t, "over-quota", v1alpha1.CredentialSetReasonNotReady)
	require.Len(t, set.Status.Credentials, 1)
	assert.Equal(t, string(member.ReasonQuotaExceeded), set.Status.Credentials[0].Reason)
	assert.Contains(t, set.Status.Credentials[0].Message, "exceeded quota: none")

	require.NoError(t, quotas.Delete(t.Context(), "none", metav1.DeleteOptions{}))
	f.until(t, "over-quota", v1alpha1.CredentialSetReasonReady)
}
