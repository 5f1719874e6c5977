// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package join

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gopkg.in/go-jose/go-jose.v2"
	"gopkg.in/go-jose/go-jose.v2/jwt"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/utils/ptr"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

const kubeconfigKey = "kubeconfig"

// hubSecret returns the hub's Secret for bravelion.
func hubSecret(t *testing.T) *corev1.Secret {
	t.Helper()
	return testenv.Get(t, shared.Hub.Kube(t).CoreV1().Secrets("clusterpass-system"), "member-default-bravelion")
}

// aged has the hub hold, for bravelion, a token that is as the one it holds, but for when it was
// issued and when it ends. The member takes it: it is signed with the member's own key. It returns
// the Secret that it wrote, and the token.
func aged(t *testing.T, issued, ends time.Duration) (*corev1.Secret, string) {
	t.Helper()
	secret := hubSecret(t)
	token := member.KubeconfigToken(secret.Data[kubeconfigKey], "")
	parsed := testenv.Must[*jwt.JSONWebToken](t)(jwt.ParseSigned(token))
	claims := map[string]any{}
	require.NoError(t, parsed.UnsafeClaimsWithoutVerification(&claims))
	now := time.Now()
	claims["iat"], claims["nbf"], claims["exp"] = now.Add(issued).Unix(), now.Add(issued).Unix(), now.Add(ends).Unix()

	key := testenv.Must[any](t)(keyutil.PrivateKeyFromFile(filepath.Join(shared.Bravelion.Dir(), "pki", "service-account.key")))
	private, ok := key.(*rsa.PrivateKey)
	require.True(t, ok)
	signer := testenv.Must[jose.Signer](t)(jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: private}, nil))
	token = testenv.Must[string](t)(jwt.Signed(signer).Claims(claims).CompactSerialize())

	secret.Data[kubeconfigKey] = testenv.Must[[]byte](t)(member.WithKubeconfigToken(secret.Data[kubeconfigKey], "", token))
	return testenv.Update(t, shared.Hub.Kube(t).CoreV1().Secrets(secret.Namespace), secret), token
}

// whoami asks bravelion whom it takes the holder of a token for.
func whoami(t *testing.T, token string) (string, error) {
	t.Helper()
	config := rest.AnonymousClientConfig(shared.Bravelion.RESTConfig())
	config.BearerToken = token
	reviews := testenv.Kube(t, config).AuthenticationV1().SelfSubjectReviews()
	review, err := reviews.Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return review.Status.UserInfo.Username, nil
}

// waitTokenEnded waits until bravelion no longer accepts a token.
func waitTokenEnded(t *testing.T, token string) {
	t.Helper()
	testenv.Eventually(t, func(context.Context) error {
		if _, err := whoami(t, token); err == nil {
			return errors.New("the token is still accepted")
		}
		return nil
	})
}

// clusterProfiles returns a client for the hub's ClusterProfiles.
func clusterProfiles(t *testing.T) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default")
}

// profileOf returns bravelion's ClusterProfile.
func profileOf(t *testing.T) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Get(t, clusterProfiles(t), "bravelion")
}

// conditionAs waits until a condition of bravelion has a reason, and returns it.
func conditionAs(t *testing.T, conditionType, reason string) *metav1.Condition {
	t.Helper()
	var condition *metav1.Condition
	testenv.Eventually(t, func(context.Context) error {
		condition = apimeta.FindStatusCondition(profileOf(t).Status.Conditions, conditionType)
		if condition == nil || condition.Reason != reason {
			return fmt.Errorf("the condition is %v, want reason %s", condition, reason)
		}
		return nil
	})
	return condition
}

// The credential for a member is renewed.
func TestRotation(t *testing.T) {
	joined(t, "bravelion")
	mustRequest(t, "bravelion", "work", "view")
	secret, old := aged(t, -90*time.Minute, 3*time.Minute)
	before := profileOf(t)
	changes := testenv.Must[watch.Interface](t)(shared.Hub.Kube(t).CoreV1().Secrets(secret.Namespace).Watch(t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=" + secret.Name, ResourceVersion: secret.ResourceVersion,
	}))
	defer changes.Stop()

	// Tokens are minted all the while.
	var renewed *corev1.Secret
	for deadline := time.After(testenv.WaitTimeout); renewed == nil; {
		_, err := request(t, "bravelion", "work", "view")
		require.NoError(t, err)
		select {
		case event := <-changes.ResultChan():
			require.Equal(t, watch.Modified, event.Type)
			renewed, _ = event.Object.(*corev1.Secret)
		case <-deadline:
			require.Fail(t, "not renewed")
		default:
		}
	}
	token := member.KubeconfigToken(renewed.Data[kubeconfigKey], "")
	assert.NotEqual(t, old, token)
	validity := member.TokenValidity(token)
	assert.Equal(t, 24*time.Hour, validity.NotAfter.Sub(validity.NotBefore))
	for _, each := range []string{token, old} {
		name, err := whoami(t, each)
		require.NoError(t, err, "both are valid")
		assert.Equal(t, "system:serviceaccount:clusterpass-system:clusterpass", name)
	}
	want := testenv.Must[[]byte](t)(member.WithKubeconfigToken(secret.Data[kubeconfigKey], "", token))
	assert.Equal(t, string(want), string(renewed.Data[kubeconfigKey]), "nothing else is changed")

	t.Run("an event says so, and the ClusterProfile is not written", func(t *testing.T) {
		renewal := metav1.ListOptions{FieldSelector: "reason=CredentialRenewed,involvedObject.uid=" + string(before.UID)}
		testenv.Eventually(t, func(ctx context.Context) error {
			list, err := shared.Hub.Kube(t).CoreV1().Events("default").List(ctx, renewal)
			if err == nil && len(list.Items) != 1 {
				err = fmt.Errorf("%d events", len(list.Items))
			}
			return err
		})
		assert.Equal(t, before.ResourceVersion, profileOf(t).ResourceVersion)
	})
	t.Run("by one write", func(t *testing.T) {
		assert.Equal(t, renewed.ResourceVersion, hubSecret(t).ResourceVersion)
	})
	t.Run("and joining again keeps it", func(t *testing.T) {
		out := mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
		assert.Contains(t, out, "hub: secret/member-default-bravelion in clusterpass-system unchanged\n")
		assert.Equal(t, renewed.ResourceVersion, hubSecret(t).ResourceVersion)
	})
	t.Run("and it ends with the Secret that it is bound to", func(t *testing.T) {
		secrets := shared.Bravelion.Kube(t).CoreV1().Secrets("clusterpass-system")
		require.NoError(t, secrets.Delete(t.Context(), member.CredentialSecret, metav1.DeleteOptions{}))
		waitTokenEnded(t, token)
		mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
		_, err := whoami(t, member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], ""))
		require.NoError(t, err, "joining again gives a new one")
	})
	logs := []string{shared.Manager.Log(), shared.Server.Log()}
	assert.Empty(t, testenv.Must[[]string](t)(testenv.FindTokens([]string{token, old}, logs)))
}

// TestRotation_HubShutOut follows docs/security.md, with a hub that has prepared for it.
func TestRotation_HubShutOut(t *testing.T) {
	joined(t, "bravelion", "--allow-rules")
	accounts := clientOf(t, hubSecret(t).Data[kubeconfigKey]).CoreV1().ServiceAccounts("clusterpass-system")
	week := authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(7 * 24 * 3600))}
	unbound, err := accounts.CreateToken(t.Context(), "clusterpass", &authenticationv1.TokenRequest{Spec: week}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = whoami(t, unbound.Status.Token)
	require.NoError(t, err)

	testenv.MustKubectl(t, shared.kubeconfig, "", "--context=bravelion", "delete", "clusterrolebindings,rolebindings",
		"-A", "-l", "app.kubernetes.io/part-of=clusterpass")
	testenv.MustKubectl(t, shared.kubeconfig, "", "--context=bravelion", "-n", "clusterpass-system", "delete", "serviceaccount", "clusterpass")
	waitTokenEnded(t, unbound.Status.Token)
	bindings := testenv.List(t, shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings(), metav1.ListOptions{})
	for i := range bindings.Items {
		for _, subject := range bindings.Items[i].Subjects {
			assert.False(t, subject.Namespace == "clusterpass-system" && subject.Name == "clusterpass", bindings.Items[i].Name)
		}
	}
	mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
}

// TestJoin_AccountMadeAnew joins while the member's authenticator still accepts the token of the
// account that was deleted.
func TestJoin_AccountMadeAnew(t *testing.T) {
	joined(t, "bravelion")
	old := member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], "")
	_, err := whoami(t, old)
	require.NoError(t, err)
	testenv.MustKubectl(t, shared.kubeconfig, "", "--context=bravelion", "-n", "clusterpass-system", "delete", "serviceaccount", "clusterpass")
	mustClusterpass(t, "join", "bravelion", "--member-context=bravelion", "--wait=false")
	token := member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], "")
	assert.NotEqual(t, old, token)
	claims := testenv.Must[*member.BoundToken](t)(member.ParseToken(token))
	account := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("clusterpass-system"), "clusterpass")
	assert.Equal(t, account.UID, claims.ServiceAccount.UID)
}

// A credential that has ended is reported, with what mends it.
func TestRotation_CredentialEnded(t *testing.T) {
	joined(t, "bravelion", "--cluster-manager="+tendedBy, "--allow-cluster-roles=view,edit", "--wait", longTimeout)
	_, ended := aged(t, -time.Hour, -time.Minute)
	_, err := whoami(t, ended)
	require.Error(t, err)
	condition := conditionAs(t, inventoryv1alpha1.ClusterConditionControlPlaneHealthy, "CredentialExpired")
	assert.Equal(t, metav1.ConditionFalse, condition.Status)
	before, rights := hubSecret(t), snapshot(t, shared.Bravelion)

	_, command, found := strings.Cut(condition.Message, "Run: kubectl clusterpass ")
	require.True(t, found, condition.Message)
	mend := strings.Fields(strings.ReplaceAll(command, "CONTEXT", "bravelion"))

	t.Run("another cluster's credential is not taken", func(t *testing.T) {
		other := strings.Fields(strings.ReplaceAll(command, "CONTEXT", "smartfish"))
		_, err := clusterpass(t.Context(), other...)
		require.ErrorContains(t, err, "hub: ClusterProfile default/bravelion is for another cluster")
		require.ErrorContains(t, err, "Nothing was changed on either cluster")
	})
	t.Run("with dry-run nothing happens", func(t *testing.T) {
		out := mustClusterpass(t, append(mend, "--dry-run=client")...)
		assert.Contains(t, out, "hub: configured secret/member-default-bravelion in clusterpass-system")
	})
	t.Run("nor with what says that more is to be done", func(t *testing.T) {
		_, err := clusterpass(t.Context(), append(mend, "--allow-cluster-roles=view")...)
		require.ErrorContains(t, err, "none of the others can be")
	})
	assert.Equal(t, before, hubSecret(t))

	mustClusterpass(t, append(mend, longTimeout)...)
	conditionAs(t, inventoryv1alpha1.ClusterConditionControlPlaneHealthy, "Ready")
	assert.Equal(t, rights, snapshot(t, shared.Bravelion), "nothing changes on the member")
	_, err = whoami(t, member.KubeconfigToken(hubSecret(t).Data[kubeconfigKey], ""))
	require.NoError(t, err)

	t.Run("a cluster that was not joined is an error", func(t *testing.T) {
		mend[1] = "smartfish"
		_, err := clusterpass(t.Context(), mend...)
		require.ErrorContains(t, err, "ClusterProfile default/smartfish was not joined")
	})
}
