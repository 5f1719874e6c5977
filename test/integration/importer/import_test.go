// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// An ordinary user gets a token for a cluster of either platform by kubectl alone.
func TestImport_Karmada(t *testing.T) {
	installKarmada(t)
	system := testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem)
	secret := createSecret(t, karmadaSecret(t, "bravelion", shared.Bravelion, "karmada-bravelion"))
	cluster := create(t, karmadaClusters, "", karmadaCluster("bravelion", shared.Bravelion, "id: "+string(system.UID)))

	profile := untilAccess(t, fleet, "bravelion", "karmada", shared.Bravelion.Server())
	assert.Equal(t, map[string]string{
		v1alpha2.LabelClusterManager: member.KarmadaManager, v1alpha2.LabelInventoryMemberID: string(system.UID),
	}, profile.Labels)
	assert.Equal(t, []metav1.OwnerReference{{
		APIVersion: "cluster.karmada.io/v1alpha1", Kind: "Cluster", Name: "bravelion", UID: cluster.GetUID(),
	}}, profile.OwnerReferences)
	assert.Equal(t, member.KarmadaManager, profile.Spec.ClusterManager.Name)
	assert.Equal(t, shared.Bravelion.CA(), profile.Status.AccessProviders[0].Cluster.CertificateAuthorityData)
	assert.Empty(t, profile.Status.AccessProviders[0].Cluster.Extensions, "nothing names the Secret")
	untilHealthy(t, fleet, "bravelion")

	use(t, asViewer(t, fleet, "bravelion"))

	t.Run("a rotated Secret is used", func(t *testing.T) {
		next := karmadaSecret(t, "bravelion", shared.Bravelion, "karmada-bravelion-2")
		secret.Data["token"] = next.Data["token"]
		testenv.Update(t, shared.Hub.Kube(t).CoreV1().Secrets(karmadaNamespace), secret)
		require.NoError(t, shared.Bravelion.Kube(t).RbacV1().ClusterRoleBindings().Delete(
			t.Context(), "karmada-bravelion", metav1.DeleteOptions{}), "the old account may do nothing any more")
		use(t, mint(t, fleet, "bravelion", "rotated").Kubeconfig)
	})
	t.Run("a heartbeat of the Cluster writes nothing", func(t *testing.T) {
		before := untilHealthy(t, fleet, "bravelion")
		client := objects(t).Resource(karmadaClusters)
		for beat := range 5 {
			_, err := client.Patch(t.Context(), "bravelion", types.MergePatchType,
				fmt.Appendf(nil, `{"status":{"beat":%d}}`, beat), metav1.PatchOptions{}, "status")
			require.NoError(t, err)
		}
		// A later Cluster is imported, so the heartbeats have been seen.
		create(t, karmadaClusters, "", karmadaCluster("later", shared.Bravelion, ""))
		testenv.Await(t, profiles(t, fleet), "later", func(*inventoryv1alpha1.ClusterProfile) error { return nil })
		assert.Equal(t, before.ResourceVersion, testenv.Get(t, profiles(t, fleet), "bravelion").ResourceVersion)
	})
	t.Run("a Cluster that leaves takes its profile along, and its grants while the Secret is there", func(t *testing.T) {
		name := mint(t, fleet, "bravelion", "leaving").GrantName
		client := objects(t).Resource(karmadaClusters)
		finalizers := func(list string) {
			_, err := client.Patch(t.Context(), "bravelion", types.MergePatchType,
				[]byte(`{"metadata":{"finalizers":`+list+`}}`), metav1.PatchOptions{})
			require.NoError(t, err)
		}
		finalizers(`["karmada.io/cluster-controller"]`) // as Karmada does
		require.NoError(t, client.Delete(t.Context(), "bravelion", metav1.DeleteOptions{}))
		testenv.AwaitGone(t, profiles(t, fleet), "bravelion")
		testenv.AwaitGone(t, shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(fleet), name)
		_, err := shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default").Get(t.Context(), "leaving", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
		finalizers("[]")
	})
}

// A Cluster that is made again under the name of another, for another member, never meets the
// grants of that.
func TestImport_RecreatedCluster(t *testing.T) {
	installKarmada(t)
	secret := createSecret(t, karmadaSecret(t, "again", shared.Bravelion, "karmada-again"))
	create(t, karmadaClusters, "", karmadaCluster("again", shared.Bravelion, ""))
	first := untilAccess(t, fleet, "again", "karmada", shared.Bravelion.Server())
	old := mint(t, fleet, "again", "again").GrantName

	secret.Data = karmadaSecret(t, "again", shared.Smartfish, "karmada-again").Data
	testenv.Update(t, shared.Hub.Kube(t).CoreV1().Secrets(karmadaNamespace), secret)
	require.NoError(t, objects(t).Resource(karmadaClusters).Delete(t.Context(), "again", metav1.DeleteOptions{}))
	create(t, karmadaClusters, "", karmadaCluster("again", shared.Smartfish, ""))
	testenv.Await(t, profiles(t, fleet), "again", func(profile *inventoryv1alpha1.ClusterProfile) error {
		if profile.UID == first.UID {
			return errors.New("it is the profile of the old Cluster")
		}
		return nil
	})
	grants := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(fleet)
	testenv.Await(t, grants, old, func(grant *clusterpassv1alpha1.AuthTokenGrant) error {
		revoked := meta.FindStatusCondition(grant.Status.Conditions, clusterpassv1alpha1.GrantRevoked)
		if revoked == nil || revoked.Reason != clusterpassv1alpha1.GrantReasonOtherMember {
			return fmt.Errorf("its condition is %v", revoked)
		}
		return nil
	})
	answer := mint(t, fleet, "again", "again-2")
	use(t, answer.Kubeconfig)
	testenv.Get(t, shared.Smartfish.Kube(t).CoreV1().ServiceAccounts("default"), "again-2")
	testenv.Get(t, shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default"), "again")
	abandon(t, fleet, old)
}

// Doctor finds nothing wrong with imported clusters, and says what is wrong with one.
func TestImport_Doctor(t *testing.T) {
	installKarmada(t)
	createSecret(t, karmadaSecret(t, "examined", shared.Bravelion, "karmada-examined"))
	create(t, karmadaClusters, "", karmadaCluster("examined", shared.Bravelion, ""))
	untilHealthy(t, fleet, "examined")
	options := doctor.Options{
		ServerUser: doctor.DefaultServerUser, ManagerUser: doctor.DefaultManagerUser, Namespace: "default",
		Access:   testenv.Must[*configv1alpha1.AccessConfiguration](t)(member.LoadFile(testenv.Must[string](t)(example("access-config.yaml")))),
		Clusters: []types.NamespacedName{{Namespace: fleet, Name: "examined"}},
	}
	diagnose := func() []doctor.Finding {
		return doctor.Run(t.Context(), testenv.Must[*doctor.Clients](t)(doctor.NewClients(shared.Hub.RESTConfig())), options)
	}
	testenv.Eventually(t, func(context.Context) error {
		if found := diagnose(); doctor.Worst(found) == doctor.Fail {
			return fmt.Errorf("it finds %+v", found)
		}
		return nil
	})
	patchSpec(t, "examined", "{insecureSkipTLSVerification: true}")
	testenv.Eventually(t, func(context.Context) error {
		found := diagnose()
		if !slices.ContainsFunc(found, func(f doctor.Finding) bool {
			return f.Check == "access" && f.Verdict == doctor.Fail && strings.Contains(f.Message, "insecureSkipTLSVerification") &&
				strings.Contains(f.Mend, "docs/import.md")
		}) {
			return fmt.Errorf("it finds %+v", found)
		}
		return nil
	})
}

func TestImport_ClusterAPI(t *testing.T) {
	secret := createSecret(t, capiSecret("smartfish", adminOf(t, shared.Smartfish, "capi-1")))
	create(t, capiClusters, team, capiCluster("smartfish"))
	profile := untilAccess(t, team, "smartfish", "cluster-api", shared.Smartfish.Server())
	assert.Equal(t, member.ClusterAPIManager, profile.Spec.ClusterManager.Name)
	system := testenv.Get(t, shared.Smartfish.Kube(t).CoreV1().Namespaces(), metav1.NamespaceSystem)
	testenv.Await(t, profiles(t, team), "smartfish", func(profile *inventoryv1alpha1.ClusterProfile) error {
		if id := profile.Labels[v1alpha2.LabelInventoryMemberID]; id != string(system.UID) {
			return fmt.Errorf("the member's id is %q", id)
		}
		return nil
	})
	use(t, asViewer(t, team, "smartfish"))

	t.Run("a rotated Secret is used", func(t *testing.T) {
		secret.Data["value"] = adminOf(t, shared.Smartfish, "capi-2")
		testenv.Update(t, shared.Hub.Kube(t).CoreV1().Secrets(team), secret)
		require.NoError(t, shared.Smartfish.Kube(t).RbacV1().ClusterRoleBindings().Delete(
			t.Context(), "capi-1", metav1.DeleteOptions{}), "the old user may do nothing any more")
		use(t, mint(t, team, "smartfish", "rotated").Kubeconfig)
	})
	t.Run("a status that was edited leads nowhere else, and is restored", func(t *testing.T) {
		testenv.Patch(t, profiles(t, team), "smartfish", fmt.Sprintf(
			`{"status":{"accessProviders":[
				{"name":"theirs","cluster":{"server":"https://theirs"}},{"name":"cluster-api","cluster":{"server":%q}},
				{"name":"kubeconfig-secretreader","cluster":{"server":"https://theirs"}}]}}`,
			shared.Bravelion.Server()), "status")
		use(t, mint(t, team, "smartfish", "edited").Kubeconfig)
		restored := untilAccess(t, team, "smartfish", "cluster-api", shared.Smartfish.Server())
		assert.Equal(t, "theirs", restored.Status.AccessProviders[0].Name, "the entry of others stays")
		_, err := shared.Bravelion.Kube(t).CoreV1().ServiceAccounts("default").Get(t.Context(), "edited", metav1.GetOptions{})
		assert.True(t, apierrors.IsNotFound(err), "%v", err)
	})
	t.Run("grants of a cluster that is gone with its Secret wait until they are abandoned", func(t *testing.T) {
		grants := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(team)
		name := mint(t, team, "smartfish", "gone").GrantName
		require.NoError(t, shared.Hub.Kube(t).CoreV1().Secrets(team).Delete(t.Context(), secret.Name, metav1.DeleteOptions{}))
		require.NoError(t, objects(t).Resource(capiClusters).Namespace(team).Delete(t.Context(), "smartfish", metav1.DeleteOptions{}))
		testenv.AwaitGone(t, profiles(t, team), "smartfish")
		testenv.Await(t, grants, name, func(grant *clusterpassv1alpha1.AuthTokenGrant) error {
			if grant.DeletionTimestamp == nil || meta.FindStatusCondition(grant.Status.Conditions, clusterpassv1alpha1.GrantRevoked) == nil {
				return errors.New("it is not being revoked")
			}
			return nil
		})
		abandon(t, team, name)
	})
}

// abandon gives up a grant that cannot be revoked, as docs/import.md says.
func abandon(t *testing.T, namespace, name string) {
	t.Helper()
	grants := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().AuthTokenGrants(namespace)
	testenv.Patch(t, grants, name, fmt.Sprintf(`{"metadata":{"annotations":{%q:"true"}}}`, clusterpassv1alpha1.AnnotationAbandonMember))
	testenv.AwaitGone(t, grants, name)
}

// untilHealthy waits until a profile says that its member is healthy, and returns it.
func untilHealthy(t *testing.T, namespace, name string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Await(t, profiles(t, namespace), name, func(profile *inventoryv1alpha1.ClusterProfile) error {
		if !meta.IsStatusConditionTrue(profile.Status.Conditions, inventoryv1alpha1.ClusterConditionControlPlaneHealthy) ||
			!meta.IsStatusConditionTrue(profile.Status.Conditions, "Joined") || profile.Labels[v1alpha2.LabelInventoryMemberID] == "" {
			return fmt.Errorf("the conditions are %v", profile.Status.Conditions)
		}
		return nil
	})
}

// asViewer returns the kubeconfig that an ordinary user gets by kubectl create, who has the Role of
// the examples for one cluster.
func asViewer(t *testing.T, namespace, cluster string) []byte {
	t.Helper()
	example, err := os.ReadFile(filepath.Join(testenv.Root(t), "artifacts", "examples", "rbac", "bravelion-viewer.yaml"))
	require.NoError(t, err)
	role := strings.NewReplacer("namespace: default", "namespace: "+namespace, "[bravelion]", "["+cluster+"]").Replace(string(example))
	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), role, "apply", "-f", "-")
	alice := testenv.Must[[]byte](t)(shared.Hub.ClientCertKubeconfig("alice", "bravelion-viewers"))
	file := filepath.Join(t.TempDir(), "alice.yaml")
	require.NoError(t, os.WriteFile(file, alice, 0o600))
	return createRequest(t, file, "multicluster.x-k8s.io/v1alpha1", namespace, cluster, "work")
}

// createRequest has kubectl create a request of an API version for an account, and returns the
// kubeconfig in the answer.
func createRequest(t *testing.T, file, apiVersion, namespace, cluster, account string) []byte {
	t.Helper()
	written := testenv.Must[[]byte](t)(json.Marshal(map[string]any{
		"apiVersion": apiVersion, "kind": "AuthTokenRequest",
		"metadata": map[string]any{"name": "work", "namespace": namespace},
		"spec": map[string]any{
			"targetClusterProfile": map[string]any{"name": cluster}, "serviceAccountName": account, "serviceAccountNamespace": "default",
			"clusterRoles": []any{map[string]any{"name": "view"}},
		},
	}))
	var out string
	testenv.Eventually(t, func(ctx context.Context) (err error) {
		out, err = testenv.Kubectl(ctx, file, string(written), "create", "-f", "-", "-o", "jsonpath={.status.kubeconfig}")
		return err
	})
	return testenv.Must[[]byte](t)(base64.StdEncoding.DecodeString(out))
}

// profileWriter returns a user who may write ClusterProfiles of a namespace, and their status.
func profileWriter(t *testing.T, namespace string) string {
	t.Helper()
	user := "writer-of-" + namespace
	testenv.Grant(t, shared.Hub.Kube(t), namespace, user, testenv.UserSubject(user), rbacv1.PolicyRule{
		APIGroups: []string{inventoryv1alpha1.Group}, Resources: []string{"clusterprofiles", "clusterprofiles/status"},
		Verbs: []string{"get", "create", "patch", "update", "delete"},
	})
	return user
}
