// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

const (
	apiService   = "v1alpha1.multicluster.x-k8s.io"
	memberSecret = "member-default-bravelion"
)

func TestDoctor_HealthyFleet(t *testing.T) {
	found := diagnose(t, shared.Hub.RESTConfig(), options(defaultBravelion))
	t.Log("\n" + printed(t, found))
	assert.NotEqual(t, doctor.Fail, doctor.Worst(found))
	for _, check := range []string{
		"clock", "apiservices", "certificates", "crds", "openapi", "names", "server-rbac", "controller-manager-rbac",
		"controller-manager", "access", "providers", "member-ids", "grants", "decisions", "namespaces", "powers", "mint",
	} {
		of := slices.DeleteFunc(slices.Clone(found), func(f doctor.Finding) bool { return f.Check != check })
		assert.Equal(t, doctor.OK, doctor.Worst(of), "%s: %v", check, of)
	}
	expectNoGrants(t)
}

func expectNoGrants(t *testing.T) {
	t.Helper()
	grants := testenv.List(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(""), metav1.ListOptions{})
	assert.Empty(t, grants.Items, "what was minted is left")
}

func TestDoctor_MayNotLook(t *testing.T) {
	for _, finding := range diagnose(t, shared.Hub.User(t, "nobody-in-particular"), options(defaultBravelion)) {
		want := doctor.Skip
		if finding.Check == "clock" || finding.Check == "openapi" || finding.Check == "names" {
			want = doctor.OK
		}
		assert.Equal(t, want, finding.Verdict, "%+v", finding)
	}
}

func TestDoctor_MayNotMint(t *testing.T) {
	// Revoking it would be allowed.
	testenv.Bind(t, shared.Hub.Kube(t), "default", "editor", testenv.UserSubject("editor"), "edit")
	found := diagnose(t, shared.Hub.User(t, "editor"), options(defaultBravelion))
	refused := expected{check: "mint", verdict: doctor.Skip, about: "default/bravelion", message: "authtokenrequests"}
	assert.True(t, slices.ContainsFunc(found, refused.is), printed(t, found))
	assert.NotEqual(t, doctor.Fail, doctor.Worst(found), printed(t, found))
	expectNoGrants(t)
}

func TestDoctor_APIServiceGone(t *testing.T) {
	require.NoError(t, apiServices(t).Delete(t.Context(), apiService, metav1.DeleteOptions{}))
	expect(t, options(), expected{"apiservices", doctor.Fail, apiService, "it is missing", "kubectl apply -k artifacts/deploy/overlays/"})

	require.NoError(t, shared.Server.Register(t.Context()))
	expectNothing(t)
}

func TestDoctor_APIServiceWithoutCA(t *testing.T) {
	testenv.Patch(t, apiServices(t), apiService, `{"spec":{"caBundle":null}}`)
	expect(t, options(), expected{"certificates", doctor.Fail, apiService, "it has no caBundle",
		"kubectl apply -k artifacts/deploy/overlays/"})
	expect(t, options(), expected{"apiservices", doctor.Fail, apiService, "FailedDiscoveryCheck", "trust the server's CA"})

	require.NoError(t, shared.Server.Register(t.Context()))
	expectNothing(t)
}

func TestDoctor_ServerDown(t *testing.T) {
	require.NoError(t, shared.Server.Kill())
	expect(t, options(), expected{"apiservices", doctor.Fail, apiService, "FailedDiscoveryCheck", "kubectl describe apiservice " + apiService})
	expect(t, options(), expected{"grants", doctor.Fail, "", "the hub does not answer", "apiservices"})
	expect(t, options(), expected{check: "openapi", verdict: doctor.OK})
	t.Run("so that namespaces hang", func(t *testing.T) {
		namespaces := shared.Hub.Kube(t).CoreV1().Namespaces()
		testenv.Create(t, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "hangs"}})
		require.NoError(t, namespaces.Delete(t.Context(), "hangs", metav1.DeleteOptions{}))
		expect(t, options(), expected{"namespaces", doctor.Fail, "Namespace hangs", "NamespaceDeletionDiscoveryFailure: ",
			"kubectl delete apiservice v1alpha2.multicluster.x-k8s.io " + apiService})
		clients := testenv.Must[*doctor.Clients](t)(doctor.NewClients(shared.Hub.RESTConfig()))
		left := doctor.Uninstall(t.Context(), clients, nil)
		require.True(t, slices.ContainsFunc(left, func(f doctor.Finding) bool {
			return f.Check == "namespaces" && strings.Contains(f.Message, "Namespace hangs (being deleted since ")
		}), "%+v", left)
	})

	require.NoError(t, shared.Server.Restart(t.Context()))
	require.NoError(t, shared.Server.Register(t.Context()))
	expectNothing(t)
}

func TestDoctor_ServerWithoutRights(t *testing.T) {
	roles := shared.Hub.Kube(t).RbacV1().ClusterRoles()
	role := testenv.Get(t, roles, "clusterpass-apiserver")
	role.Rules = slices.DeleteFunc(role.Rules,
		func(r rbacv1.PolicyRule) bool { return slices.Contains(r.APIGroups, "admissionregistration.k8s.io") })
	testenv.Update(t, roles, role)
	expect(t, options(), expected{"server-rbac", doctor.Fail, doctor.DefaultServerUser, "it lacks list, watch on mutatingadmissionpolicies",
		"kubectl apply -k artifacts/deploy/rbac"})

	require.NoError(t, shared.Server.ApplyRBAC(t.Context()))
	expectNothing(t)
}

func TestDoctor_OtherUsers(t *testing.T) {
	o := options()
	o.ServerUser, o.ManagerUser = "clusterpass-of-ours", "manager-of-ours"
	for check, user := range map[string]string{"server-rbac": o.ServerUser, "controller-manager-rbac": o.ManagerUser} {
		expect(t, o, expected{check, doctor.Fail, user, "get, list, watch on secrets", "Bind the roles"})
	}
}

func TestDoctor_ClashingCRDs(t *testing.T) {
	clashing := filepath.Join("..", "inventorymodes", "testdata", "mcs-api.yaml")
	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "apply", "--server-side", "-f", clashing)
	expect(t, options(), expected{"crds", doctor.Fail, "serviceexports.multicluster.x-k8s.io", "clusterpass is not ready beside it",
		"kubectl delete crd serviceexports.multicluster.x-k8s.io"})

	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "delete", "-f", clashing)
	expectNothing(t)
}

func TestDoctor_MissingCRD(t *testing.T) {
	o := options()
	o.Inventory = hub.InventoryExternal
	expect(t, o, expected{"crds", doctor.Fail, "clusterprofiles.multicluster.x-k8s.io", "it is missing", "cluster-inventory-api"})
}

func TestDoctor_SecretWithoutAnnotation(t *testing.T) {
	changeSecret(t, func(secret *corev1.Secret) { delete(secret.Annotations, "clusterpass.dev/cluster-profile") })
	expect(t, options(), expected{"access", doctor.Fail, "default/bravelion", "it has no annotation",
		"kubectl -n clusterpass-system annotate secret " + memberSecret + " clusterpass.dev/cluster-profile=default/bravelion"})
}

func TestDoctor_SecretWithoutLabel(t *testing.T) {
	changeSecret(t, func(secret *corev1.Secret) { delete(secret.Labels, "clusterpass.dev/member-kubeconfig") })
	expect(t, options(), expected{"access", doctor.Fail, "default/bravelion", "there is no Secret",
		"kubectl -n clusterpass-system label secret " + memberSecret + " clusterpass.dev/member-kubeconfig=true"})
}

func TestDoctor_ExpiredCredential(t *testing.T) {
	token := expiredToken(time.Now().Add(-time.Hour))
	changeSecret(t, func(secret *corev1.Secret) {
		config := testenv.Must[*clientcmdapi.Config](t)(clientcmd.Load(secret.Data["kubeconfig"]))
		for _, user := range config.AuthInfos {
			user.Token = token
		}
		secret.Data["kubeconfig"] = testenv.Must[[]byte](t)(clientcmd.Write(*config))
	})
	expect(t, options(), expected{"access", doctor.Fail, "default/bravelion", "has expired at",
		"kubectl -n clusterpass-system create secret generic " + memberSecret})
	refused := "it does not accept clusterpass's own credential"
	expect(t, options(defaultBravelion), expected{"mint", doctor.Fail, "default/bravelion", refused, "docs/troubleshooting.md"})
	expectNoGrants(t)
}

func TestDoctor_ManagerStopped(t *testing.T) {
	shared.Manager.Stop()
	expect(t, options(), expected{"controller-manager", doctor.Fail, "clusterpass-system/clusterpass-controller-manager",
		"it has no holder", "kubectl -n clusterpass-system logs deployment/clusterpass-controller-manager"})

	require.NoError(t, shared.Manager.Start(t.Context()))
	expectNothing(t)
}

func TestDoctor_Powers(t *testing.T) {
	client := shared.Hub.Kube(t)
	for name, subject := range map[string]rbacv1.Subject{
		"eve-has-all":      {Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "eve"},
		"everybody-has-it": {Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"},
	} {
		testenv.Bind(t, client, "", name, subject, "cluster-admin")
		verdict := map[string]doctor.Verdict{"eve": doctor.Warn, "system:authenticated": doctor.Fail}[subject.Name]
		about := fmt.Sprintf("%s %s -> ClusterRole cluster-admin -> ClusterRoleBinding %s", subject.Kind, subject.Name, name)
		expect(t, options(), expected{"powers", verdict, about, `every verb ("*") on all ClusterProfiles`,
			"kubectl delete clusterrolebinding " + name})
		require.NoError(t, client.RbacV1().ClusterRoleBindings().Delete(t.Context(), name, metav1.DeleteOptions{}))
	}
	expectNothing(t)
}

func TestDoctor_NoSuchCluster(t *testing.T) {
	o := options()
	o.Clusters = []types.NamespacedName{{Namespace: "default", Name: "nowhere"}}
	expect(t, o, expected{check: "access", verdict: doctor.Fail, about: "ClusterProfile default/nowhere", message: "it does not exist"})
}

// changeSecret changes the Secret with the member's kubeconfig until the test ends.
func changeSecret(t *testing.T, change func(*corev1.Secret)) {
	t.Helper()
	secrets := shared.Hub.Kube(t).CoreV1().Secrets(testenv.SystemNamespace)
	before := testenv.Get(t, secrets, memberSecret)
	changed := before.DeepCopy()
	change(changed)
	testenv.Update(t, secrets, changed)
	t.Cleanup(func() {
		before.ResourceVersion = ""
		_, err := secrets.Update(context.WithoutCancel(t.Context()), before, metav1.UpdateOptions{})
		require.NoError(t, err)
	})
}

// expiredToken returns what looks like a token of a ServiceAccount.
func expiredToken(at time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Appendf(nil, `{"exp":%d,"iat":%d}`, at.Unix(), at.Add(-time.Hour).Unix())
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(claims) + "." + encode([]byte("signature"))
}
