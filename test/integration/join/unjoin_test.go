// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"clusterpass.dev/pkg/grant"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// Unjoin goes on where half is gone.
func TestUnjoin_HalfIsGone(t *testing.T) {
	before := snapshots(t, shared.Bravelion)
	for name, lost := range map[string]struct {
		client deleter
		object string
	}{
		"the ClusterProfile":        {clusterProfiles(t), "bravelion"},
		"the Secret on the hub":     {shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), "member-default-bravelion"},
		"the account on the member": {shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("clusterpass-system"), "clusterpass"},
	} {
		t.Run(name, func(t *testing.T) {
			joined(t, "bravelion")
			require.NoError(t, lost.client.Delete(t.Context(), lost.object, metav1.DeleteOptions{}))
			mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
			waitNamespaceGone(t, shared.Bravelion, "clusterpass-system")
			assert.Equal(t, before, snapshots(t, shared.Bravelion))
		})
	}
}

// A member that is gone for ever is abandoned.
func TestUnjoin_AbandonMember(t *testing.T) {
	before := snapshot(t, shared.Hub)
	joined(t, "bravelion")
	answer := mustRequest(t, "bravelion", "lost", "view")
	secrets := shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system")
	require.NoError(t, secrets.Delete(t.Context(), "member-default-bravelion", metav1.DeleteOptions{}))

	_, err := clusterpass(t.Context(), "unjoin", "bravelion", "--timeout=2s")
	require.ErrorContains(t, err, "not revoked within 2s: default/"+answer.Status.GrantName)
	require.ErrorContains(t, err, "--abandon-member")
	_, err = clusterpass(t.Context(), "unjoin", "bravelion", "--member-context=bravelion", "--abandon-member")
	require.ErrorContains(t, err, "it can't be used with --member-context")

	out := mustClusterpass(t, "unjoin", "bravelion", "--abandon-member")
	assert.Contains(t, out, "hub: abandoned authtokengrant.clusterpass.dev/"+answer.Status.GrantName+" in default\n")
	assert.Equal(t, before, snapshot(t, shared.Hub))

	accounts := shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default")
	theirs := testenv.Create(t, accounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "theirs", Labels: map[string]string{
		grant.LabelManagedBy: grant.ManagedBy, grant.LabelHubID: "another-hub", grant.LabelGrantUID: "of-another-hub",
	}}})
	t.Cleanup(func() { _ = accounts.Delete(context.WithoutCancel(t.Context()), "theirs", metav1.DeleteOptions{}) })

	// It was not gone: what it has of the grant belongs to none now, and is in nobody's way.
	out = joined(t, "bravelion")
	assert.Contains(t, out, "member: deleted ServiceAccount lost in default of a grant that is gone\n")
	assert.NotContains(t, out, "theirs")
	require.NoError(t, gone(t.Context(), accounts, "lost"))
	_, err = accounts.Get(t.Context(), theirs.Name, metav1.GetOptions{})
	require.NoError(t, err, "what another hub has is left alone")
	testenv.Eventually(t, func(context.Context) error {
		_, err := request(t, "bravelion", "lost", "view")
		if err != nil {
			require.NotContains(t, err.Error(), "belongs to another grant")
		}
		return err
	})
}

// A hub can be its own member.
func TestUnjoin_Hub(t *testing.T) {
	before := snapshot(t, shared.Hub)
	mustClusterpass(t, "join", "self", "--member-context=hub", "--wait=false")
	mustRequest(t, "self", "work", "view")
	mustClusterpass(t, "unjoin", "self", "--member-context=hub")
	assert.Equal(t, before, snapshot(t, shared.Hub), "clusterpass-system above all")
}

// TestUnjoin_AccountOfTwo takes one of two profiles of a member out.
func TestUnjoin_AccountOfTwo(t *testing.T) {
	joined(t, "bravelion")
	secrets := shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system")
	byHand := testenv.Create(t, secrets, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: "by-hand", Labels: map[string]string{"clusterpass.dev/member-kubeconfig": "true"},
			Annotations: map[string]string{"clusterpass.dev/cluster-profile": "default/by-hand"},
		},
		Data: hubSecret(t).Data,
	})
	t.Cleanup(func() { _ = secrets.Delete(context.WithoutCancel(t.Context()), "by-hand", metav1.DeleteOptions{}) })
	before := snapshot(t, shared.Bravelion)

	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	assert.Contains(t, out, "hub: deleted secret/member-default-bravelion in clusterpass-system\n")
	assert.Contains(t, out, "member: left as it is; ClusterProfile default/by-hand needs it")
	assert.Equal(t, before, snapshot(t, shared.Bravelion))
	_, err := clientOf(t, byHand.Data[kubeconfigKey]).CoreV1().ServiceAccounts("default").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err, "the other one's credential works")

	t.Run("and takes it away when nobody needs it any more", func(t *testing.T) {
		byHand.Data = map[string][]byte{"kubeconfig": bytes.ReplaceAll(byHand.Data["kubeconfig"], []byte("https://"), []byte("https://other."))}
		testenv.Update(t, secrets, byHand)
		out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
		assert.Contains(t, out, "member: deleted serviceaccount/clusterpass in clusterpass-system\n")
	})
}

// Unjoin leaves what others have put into the namespace.
func TestUnjoin_OthersObjects(t *testing.T) {
	joined(t, "bravelion")
	client := shared.Bravelion.Kube(t).CoreV1()
	testenv.Create(t, client.ConfigMaps("clusterpass-system"), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "theirs"}})
	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	assert.Contains(t, out, "member: namespace/clusterpass-system stays: configmap/theirs in clusterpass-system is in it\n")
	testenv.Get(t, client.ConfigMaps("clusterpass-system"), "theirs")
	require.NoError(t, client.ConfigMaps("clusterpass-system").Delete(t.Context(), "theirs", metav1.DeleteOptions{}))
}

// Unjoin says so if the member's namespace does not end in time.
func TestUnjoin_NamespaceStillEnding(t *testing.T) {
	joined(t, "bravelion")
	roles := shared.Bravelion.Kube(t).RbacV1().Roles("clusterpass-system")
	testenv.Create(t, roles, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "held", Finalizers: []string{"example.com/held"}}})
	out := mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", "--timeout=2s")
	assert.Contains(t, out, "member: namespace/clusterpass-system is still ending after 2s")
	testenv.Patch(t, roles, "held", `{"metadata":{"finalizers":null}}`)
	mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion", longTimeout)
	require.NoError(t, gone(t.Context(), shared.Bravelion.Kube(t).CoreV1().Namespaces(), "clusterpass-system"), "unjoin waits for it")
}

// logged returns what is logged at the highest verbosity while do runs.
func logged(t *testing.T, do func()) string {
	t.Helper()
	var log bytes.Buffer
	var level klog.Level
	state := klog.CaptureState()
	defer state.Restore()
	require.NoError(t, level.Set("10"))
	klog.LogToStderr(false)
	klog.SetOutput(&log)
	do()
	klog.Flush()
	return log.String()
}

// No token is logged at any verbosity.
func TestJoin_LogsNoToken(t *testing.T) {
	log := logged(t, func() { joined(t, "bravelion") })
	require.Contains(t, log, "/api/v1/namespaces/clusterpass-system/serviceaccounts/clusterpass/token", "the call is logged")
	token := member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], "")
	log += logged(t, func() {
		mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
		mustClusterpass(t, "unjoin", "bravelion", "--member-context=bravelion")
	})
	file := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(file, []byte(log), 0o600))
	assert.Empty(t, testenv.Must[[]string](t)(testenv.FindTokens([]string{token}, []string{file})))
}
