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
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"

	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

const (
	apiService   = "v1alpha1.multicluster.x-k8s.io"
	memberSecret = "member-default-bravelion"
)

func TestDoctor_HealthyFleet(t *testing.T) {
	o := options()
	o.Mint = []types.NamespacedName{defaultBravelion}
	found := diagnose(t, shared.Hub.RESTConfig(), o)
	t.Log("\n" + printed(t, found))
	assert.NotEqual(t, doctor.Fail, doctor.Worst(found))
	for _, check := range []string{
		"clock", "apiservices", "certificates", "crds", "openapi", "names", "server-rbac", "controller-manager-rbac", "controller-manager", "access", "grants", "namespaces", "powers", "mint",
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
	nobody := shared.Hub.User(t, "nobody-in-particular")
	o := options()
	o.Mint = []types.NamespacedName{defaultBravelion}
	for _, finding := range diagnose(t, nobody, o) {
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
	editor := shared.Hub.User(t, "editor")
	o := options()
	o.Mint = []types.NamespacedName{defaultBravelion}
	found := diagnose(t, editor, o)
	assert.True(t, slices.ContainsFunc(found, expected{check: "mint", verdict: doctor.Skip, about: "default/bravelion", message: "authtokenrequests"}.is), printed(t, found))
	assert.NotEqual(t, doctor.Fail, doctor.Worst(found), printed(t, found))
	expectNoGrants(t)
}

func TestDoctor_APIServiceGone(t *testing.T) {
	client, err := aggregator.NewForConfig(shared.Hub.RESTConfig())
	require.NoError(t, err)
	require.NoError(t, client.ApiregistrationV1().APIServices().Delete(t.Context(), apiService, metav1.DeleteOptions{}))
	expect(t, options(), expected{
		check: "apiservices", verdict: doctor.Fail, about: apiService, message: "it is missing", mend: "kubectl apply -k artifacts/deploy/overlays/",
	})

	require.NoError(t, shared.Server.Register(t.Context()))
	expectNothing(t)
}

func TestDoctor_APIServiceWithoutCA(t *testing.T) {
	client, err := aggregator.NewForConfig(shared.Hub.RESTConfig())
	require.NoError(t, err)
	testenv.Patch(t, client.ApiregistrationV1().APIServices(), apiService, `{"spec":{"caBundle":null}}`)
	expect(t, options(), expected{
		check: "certificates", verdict: doctor.Fail, about: apiService, message: "it has no caBundle", mend: "kubectl apply -k artifacts/deploy/overlays/",
	})
	expect(t, options(), expected{
		check: "apiservices", verdict: doctor.Fail, about: apiService, message: "FailedDiscoveryCheck", mend: "trust the server's CA",
	})

	require.NoError(t, shared.Server.Register(t.Context()))
	expectNothing(t)
}

func TestDoctor_ServerDown(t *testing.T) {
	require.NoError(t, shared.Server.Kill())
	expect(t, options(), expected{
		check: "apiservices", verdict: doctor.Fail, about: apiService, message: "FailedDiscoveryCheck", mend: "kubectl describe apiservice " + apiService,
	})
	expect(t, options(), expected{check: "grants", verdict: doctor.Fail, message: "the hub does not answer", mend: "apiservices"})
	expect(t, options(), expected{check: "openapi", verdict: doctor.OK})
	t.Run("so that namespaces hang", func(t *testing.T) {
		namespaces := shared.Hub.Kube(t).CoreV1().Namespaces()
		testenv.Create(t, namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "hangs"}})
		require.NoError(t, namespaces.Delete(t.Context(), "hangs", metav1.DeleteOptions{}))
		expect(t, options(), expected{
			check: "namespaces", verdict: doctor.Fail, about: "Namespace hangs", message: "NamespaceDeletionDiscoveryFailure: ", mend: "kubectl delete apiservice " + apiService,
		})
		clients, err := doctor.NewClients(shared.Hub.RESTConfig())
		require.NoError(t, err)
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
	role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.APIGroups, "admissionregistration.k8s.io") })
	testenv.Update(t, roles, role)
	expect(t, options(), expected{
		check: "server-rbac", verdict: doctor.Fail, about: doctor.DefaultServerUser,
		message: "it lacks list, watch on mutatingadmissionpolicies", mend: "kubectl apply -k artifacts/deploy/rbac",
	})

	require.NoError(t, shared.Server.ApplyRBAC(t.Context()))
	expectNothing(t)
}

func TestDoctor_OtherUsers(t *testing.T) {
	o := options()
	o.ServerUser, o.ManagerUser = "clusterpass-of-ours", "manager-of-ours"
	for check, user := range map[string]string{"server-rbac": o.ServerUser, "controller-manager-rbac": o.ManagerUser} {
		expect(t, o, expected{check: check, verdict: doctor.Fail, about: user, message: "get, list, watch on secrets", mend: "Bind the roles"})
	}
}

func TestDoctor_ClashingCRDs(t *testing.T) {
	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "apply", "--server-side", "-f", filepath.Join("..", "inventorymodes", "testdata", "mcs-api.yaml"))
	expect(t, options(), expected{
		check: "crds", verdict: doctor.Fail, about: "serviceexports.multicluster.x-k8s.io",
		message: "clusterpass is not ready beside it", mend: "kubectl delete crd serviceexports.multicluster.x-k8s.io",
	})

	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "delete", "-f", filepath.Join("..", "inventorymodes", "testdata", "mcs-api.yaml"))
	expectNothing(t)
}

func TestDoctor_MissingCRD(t *testing.T) {
	o := options()
	o.Inventory = hub.InventoryExternal
	expect(t, o, expected{
		check: "crds", verdict: doctor.Fail, about: "clusterprofiles.multicluster.x-k8s.io", message: "it is missing", mend: "cluster-inventory-api",
	})
}

func TestDoctor_SecretWithoutAnnotation(t *testing.T) {
	changeSecret(t, func(secret *corev1.Secret) { delete(secret.Annotations, "clusterpass.dev/cluster-profile") })
	expect(t, options(), expected{
		check: "access", verdict: doctor.Fail, about: "default/bravelion", message: "it has no annotation",
		mend: "kubectl -n clusterpass-system annotate secret " + memberSecret + " clusterpass.dev/cluster-profile=default/bravelion",
	})
}

func TestDoctor_SecretWithoutLabel(t *testing.T) {
	changeSecret(t, func(secret *corev1.Secret) { delete(secret.Labels, "clusterpass.dev/member-kubeconfig") })
	expect(t, options(), expected{
		check: "access", verdict: doctor.Fail, about: "default/bravelion", message: "there is no Secret",
		mend: "kubectl -n clusterpass-system label secret " + memberSecret + " clusterpass.dev/member-kubeconfig=true",
	})
}

func TestDoctor_ExpiredCredential(t *testing.T) {
	token := expiredToken(time.Now().Add(-time.Hour))
	changeSecret(t, func(secret *corev1.Secret) {
		config, err := clientcmd.Load(secret.Data["kubeconfig"])
		require.NoError(t, err)
		for _, user := range config.AuthInfos {
			user.Token = token
		}
		secret.Data["kubeconfig"], err = clientcmd.Write(*config)
		require.NoError(t, err)
	})
	expect(t, options(), expected{
		check: "access", verdict: doctor.Fail, about: "default/bravelion", message: "has expired at",
		mend: "kubectl -n clusterpass-system create secret generic " + memberSecret,
	})
	o := options()
	o.Mint = []types.NamespacedName{defaultBravelion}
	expect(t, o, expected{check: "mint", verdict: doctor.Fail, about: "default/bravelion", message: "it does not accept clusterpass's own credential", mend: "docs/troubleshooting.md"})
	expectNoGrants(t)
}

func TestDoctor_ManagerStopped(t *testing.T) {
	shared.Manager.Stop()
	expect(t, options(), expected{
		check: "controller-manager", verdict: doctor.Fail, about: "clusterpass-system/clusterpass-controller-manager",
		message: "it has no holder", mend: "kubectl -n clusterpass-system logs deployment/clusterpass-controller-manager",
	})

	require.NoError(t, shared.Manager.Start(t.Context()))
	expectNothing(t)
}

func TestDoctor_Powers(t *testing.T) {
	bindings := shared.Hub.Kube(t).RbacV1().ClusterRoleBindings()
	for name, subject := range map[string]rbacv1.Subject{
		"eve-has-all":      {Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "eve"},
		"everybody-has-it": {Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"},
	} {
		testenv.Create(t, bindings, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{subject},
		})
		verdict := map[string]doctor.Verdict{"eve": doctor.Warn, "system:authenticated": doctor.Fail}[subject.Name]
		expect(t, options(), expected{
			check: "powers", verdict: verdict, about: fmt.Sprintf("%s %s -> ClusterRole cluster-admin -> ClusterRoleBinding %s", subject.Kind, subject.Name, name),
			message: `every verb ("*") on all ClusterProfiles`, mend: "kubectl delete clusterrolebinding " + name,
		})
		require.NoError(t, bindings.Delete(t.Context(), name, metav1.DeleteOptions{}))
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
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode(fmt.Appendf(nil, `{"exp":%d,"iat":%d}`, at.Unix(), at.Add(-time.Hour).Unix())) + "." + encode([]byte("signature"))
}
