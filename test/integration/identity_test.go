// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// idOf returns the UID of a member's namespace kube-system.
func idOf(t *testing.T, cluster *testenv.Cluster) string {
	t.Helper()
	return string(testenv.Get(t, cluster.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem).UID)
}

// forge makes the ClusterProfile namespace/name that claims to be bravelion in all ways that its
// creator has.
func forge(t *testing.T, namespace, name string, providers ...inventoryv1alpha1.AccessProvider) {
	t.Helper()
	id := idOf(t, shared.Bravelion)
	profile := testenv.NewProfile(name, "test")
	profile.Labels = map[string]string{"x-k8s.io/cluster-manager": "test", v1alpha2.LabelInventoryMemberID: id}
	profile.Annotations = map[string]string{member.MemberUIDAnnotation: id}
	profile = testenv.Create(t, profilesIn(t, namespace), profile)
	profile.Status.AccessProviders = providers
	testenv.UpdateStatus(t, profilesIn(t, namespace), profile)
}

// A ClusterProfile that claims the id of a member gets nothing of that member.
func TestIdentity_ForgedID(t *testing.T) {
	bravelion := secretProvider(clientcmdv1.Cluster{Server: shared.Bravelion.Server()}, testenv.SystemNamespace, "member-default-bravelion")
	namespace := newNamespace(t)
	for name, test := range map[string]struct {
		namespace, name string
		providers       []inventoryv1alpha1.AccessProvider
	}{
		"by the label alone":                      {"default", "forged-label", nil},
		"and by the Secret of that member":        {"default", "forged-secret", []inventoryv1alpha1.AccessProvider{bravelion}},
		"and under its name in another namespace": {namespace, "bravelion", nil},
		"and all of that":                         {newNamespace(t), "bravelion", []inventoryv1alpha1.AccessProvider{bravelion}},
	} {
		t.Run(name, func(t *testing.T) {
			forge(t, test.namespace, test.name, test.providers...)
			unchanged(t, func() {
				for _, f := range forms {
					r := request(test.name, "forger", "cluster-admin")
					r.Spec.TargetClusterProfile.Namespace = test.namespace
					_, _, err := askFrom(t.Context(), shared.Hub.RESTConfig(), f, test.namespace, r, metav1.CreateOptions{})
					expectRefusal(t, err, http.StatusServiceUnavailable, test.namespace+"/"+test.name)
				}
			})
		})
	}
	t.Run("and its tenant has no right on the other by it", func(t *testing.T) {
		forge(t, "default", "forged-right")
		tenant := grantTo(t, "id-tenant", mayRequest(), mayMint("forged-right"), mayUse("forged-right", "bind:view", "in:default"))
		unchanged(t, func() {
			_, _, err := ask(t.Context(), tenant, forms[0], request("bravelion", "forger", "view"), metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusForbidden, "bravelion")
		})
	})
	t.Run("and with a Secret for another cluster it is refused", func(t *testing.T) {
		smartfish := testenv.Must[*clientcmdapi.Config](t)(clientcmd.LoadFromFile(shared.Smartfish.Kubeconfig()))
		user := smartfish.AuthInfos[smartfish.Contexts[smartfish.CurrentContext].AuthInfo]
		storeSecret(t, testenv.SystemNamespace, secretFor(t, "forged-elsewhere", clientcmdapi.Cluster{
			Server: shared.Smartfish.Server(), CertificateAuthorityData: shared.Smartfish.CA(),
		}, *user))
		forge(t, "default", "forged-elsewhere")
		unchanged(t, func() {
			_, _, err := ask(t.Context(), shared.Hub.RESTConfig(), forms[0], request("forged-elsewhere", "forger", "view"), metav1.CreateOptions{})
			expectRefusal(t, err, http.StatusConflict, idOf(t, shared.Smartfish))
		})
	})
}

// A member that does not answer delays no other whose id its ClusterProfile claims.
func TestIdentity_DeadMember(t *testing.T) {
	var calls atomic.Int32
	server := listen(t, func(c net.Conn) {
		calls.Add(1)
		_ = c.Close()
	})
	dead := secretFor(t, "forged-dead", clientcmdapi.Cluster{Server: server, CertificateAuthorityData: shared.Bravelion.CA()},
		clientcmdapi.AuthInfo{Token: "not-a-token"})
	storeSecret(t, testenv.SystemNamespace, dead)
	forge(t, "default", "forged-dead")
	hub := shared.Hub.RESTConfig()
	failed := func(ctx context.Context) {
		_, _, err := ask(ctx, hub, forms[0], request("forged-dead", "forger", "view"), metav1.CreateOptions{})
		require.Error(t, err)
	}
	for range configv1alpha1.DefaultBreakerFailures {
		failed(t.Context())
	}
	before := calls.Load()
	require.Positive(t, before)
	// The client would wait for as long as the breaker is open, and ask again.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	failed(ctx)
	require.Equal(t, before, calls.Load(), "its breaker is open")
	mintFor(t, hub, request("bravelion", "beside-forged", "view"))
}

// TestPolicyMemberID tries the policy of the examples that leaves the controller manager one label.
func TestPolicyMemberID(t *testing.T) {
	const controller = clusterpassv1alpha1.ControllerManagerUser
	patches := rbacv1.PolicyRule{APIGroups: []string{multicluster}, Resources: []string{"clusterprofiles"}, Verbs: []string{"get", "patch"}}
	config := grantTo(t, controller, patches)
	other := grantTo(t, "member-id-admin", patches)
	applyPolicy(t, "member-id.yaml", "validatingadmission")
	profilesIn := func(user string) func(ctx context.Context, name, patch string) error {
		by := config
		if user != controller {
			by = other
		}
		client := testenv.Inventory(t, by).ApisV1alpha1().ClusterProfiles("default")
		return func(ctx context.Context, name, patch string) error {
			_, err := client.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
	}
	testenv.Create(t, shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles("default"), testenv.NewProfile("unlabelled", "test"))
	forge(t, "default", "labelled")
	const refusal = "clusterpass-controller-manager sets the label"
	patch := profilesIn(controller)
	testenv.Eventually(t, func(ctx context.Context) error {
		if err := patch(ctx, "unlabelled", `{"spec":{"displayName":"x"}}`); !apierrors.IsForbidden(err) {
			return fmt.Errorf("the policy is not enforced: %w", err)
		}
		return nil
	})
	id := `{"metadata":{"labels":{"` + v1alpha2.LabelInventoryMemberID + `":"x"}}}`
	require.NoError(t, patch(t.Context(), "unlabelled", id), "the label where it is missing")
	for name, test := range map[string]struct{ profile, patch string }{
		"the label where it is set": {"labelled", id},
		"the label taken away":      {"labelled", `{"metadata":{"labels":{"` + v1alpha2.LabelInventoryMemberID + `":null}}}`},
		"another label":             {"unlabelled", `{"metadata":{"labels":{"team":"x"}}}`},
		"the UID that join notes":   {"labelled", `{"metadata":{"annotations":{"` + member.MemberUIDAnnotation + `":null}}}`},
		"taints":                    {"unlabelled", `{"metadata":{"annotations":{"clusterpass.dev/taints":"[]"}}}`},
		"a finalizer":               {"unlabelled", `{"metadata":{"finalizers":["example.com/x"]}}`},
		"an owner":                  {"unlabelled", `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"x"}]}}`},
		"the spec":                  {"unlabelled", `{"spec":{"displayName":"x"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			err := patch(t.Context(), test.profile, test.patch)
			assert.True(t, apierrors.IsForbidden(err), "%v", err)
			assert.ErrorContains(t, err, refusal)
			assert.NoError(t, profilesIn("member-id-admin")(t.Context(), test.profile, test.patch), "others may do what they may")
		})
	}
}
