// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// Whoever may write ClusterProfiles and their status, but no Secrets and no Clusters, gets nothing
// of a cluster that has another name.
func TestImport_HostileTenant(t *testing.T) {
	createSecret(t, capiSecret("victim", adminOf(t, shared.Smartfish, "victim")))
	create(t, capiClusters, team, capiCluster("victim"))
	untilAccess(t, team, "victim", "cluster-api", shared.Smartfish.Server())
	other := capiSecret("victim", nil) // as Cluster API makes Secrets for other purposes
	other.Name = "victim-user-kubeconfig"
	other.Data = map[string][]byte{"value": adminOf(t, shared.Smartfish, "victim-user")}
	createSecret(t, other)

	writers := map[string]string{team: profileWriter(t, team), tenant: profileWriter(t, tenant)}
	for name, test := range map[string]struct{ namespace, profile, manager, provider, want string }{
		"a profile of the cluster's name elsewhere": {tenant, "victim", member.ClusterAPIManager, "cluster-api",
			`no Secrets of clusters are read from namespace "tenant", only from capi-clusters`},
		"a profile of Karmada elsewhere": {tenant, "any", member.KarmadaManager, "karmada",
			"only ClusterProfiles of namespace fleet lead to clusters of Karmada"},
		"a profile of another manager": {team, "of-another", "theirs", "cluster-api",
			"spec.clusterManager.name of the ClusterProfile is not " + member.ClusterAPIManager},
	} {
		t.Run(name, func(t *testing.T) {
			client := testenv.Inventory(t, shared.Hub.User(t, writers[test.namespace])).ApisV1alpha1().ClusterProfiles(test.namespace)
			made := testenv.Create(t, client, testenv.NewProfile(test.profile, test.manager))
			providers := []inventoryv1alpha1.AccessProvider{{Name: test.provider, Cluster: clientcmdv1.Cluster{
				Server: shared.Smartfish.Server(), CertificateAuthorityData: shared.Smartfish.CA(),
				Extensions: []clientcmdv1.NamedExtension{{Name: "client.authentication.k8s.io/exec"}},
			}}}
			victim := []byte(`{"name":"victim-kubeconfig","namespace":"capi-clusters","key":"value"}`)
			providers[0].Cluster.Extensions[0].Extension.Raw = victim
			patch := testenv.Must[[]byte](t)(json.Marshal(map[string]any{"status": map[string]any{"accessProviders": providers}}))
			testenv.Patch(t, client, made.Name, string(patch), "status")
			testenv.Eventually(t, untilRefused(t, test.namespace, test.profile, test.want))
		})
	}
	t.Run("a Cluster whose name leads to another's Secret", func(t *testing.T) {
		create(t, capiClusters, team, capiCluster("victim-user"))
		want := "the Secret " + team + "/victim-user-kubeconfig is not Cluster API's for this cluster"
		untilEvent(t, team, "victim-user", "NoAccess", want)
		testenv.Eventually(t, untilRefused(t, team, "victim-user", want))
	})
	t.Run("a profile for which there is no Cluster is deleted", func(t *testing.T) {
		client := testenv.Inventory(t, shared.Hub.User(t, writers[team])).ApisV1alpha1().ClusterProfiles(team)
		testenv.Create(t, client, testenv.NewProfile("thief", member.ClusterAPIManager))
		testenv.AwaitGone(t, client, "thief")
	})
	_, err := shared.Smartfish.Kube(t).CoreV1().ServiceAccounts("default").Get(t.Context(), "refused", metav1.GetOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}

// A profile of a cluster's name that somebody else manages is left alone.
func TestImport_ProfileOfAnotherManager(t *testing.T) {
	before := testenv.Create(t, profiles(t, team), testenv.NewProfile("taken", "somebody"))
	createSecret(t, capiSecret("taken", adminOf(t, shared.Smartfish, "taken")))
	create(t, capiClusters, team, capiCluster("taken"))
	untilEvent(t, team, "taken", "NotImported", "there is a ClusterProfile capi-clusters/taken of another manager")
	assert.Equal(t, before.ResourceVersion, testenv.Get(t, profiles(t, team), "taken").ResourceVersion)
	require.NoError(t, profiles(t, team).Delete(t.Context(), "taken", metav1.DeleteOptions{}))
	untilAccess(t, team, "taken", "cluster-api", shared.Smartfish.Server())
}

// What a Secret or a Cluster says is guarded as the kubeconfigs of joined members are.
func TestImport_RefusedAccess(t *testing.T) {
	installKarmada(t)
	createSecret(t, karmadaSecret(t, "guarded", shared.Bravelion, "karmada-guarded"))
	for name, test := range map[string]struct{ spec, want string }{
		"insecure TLS": {"{insecureSkipTLSVerification: true}", "insecureSkipTLSVerification of the Cluster guarded of Karmada is refused"},
		"headers for a proxy": {"{proxyURL: 'http://127.0.0.1:1', proxyHeader: {a: b}}",
			"proxyHeader of the Cluster guarded of Karmada is not supported"},
		"a password of a proxy":    {"{proxyURL: 'http://u:p@127.0.0.1:1'}", "proxy-url must not have a user name"},
		"a Secret of another name": {"{secretRef: {namespace: karmada-cluster, name: other}}", "must name a Secret of the same name"},
		"a Secret of another namespace": {"{secretRef: {namespace: kube-system, name: guarded}}",
			`no Secrets of clusters are read from namespace "kube-system"`},
		"pull mode": {"{syncMode: Pull, apiEndpoint: ''}", "clusters in pull mode are not reached"},
	} {
		t.Run(name, func(t *testing.T) {
			create(t, karmadaClusters, "", karmadaCluster("guarded", shared.Bravelion, ""))
			untilAccess(t, fleet, "guarded", "karmada", shared.Bravelion.Server())
			patchSpec(t, "guarded", test.spec)
			untilEvent(t, corev1.NamespaceDefault, "guarded", "NoAccess", test.want)
			testenv.Eventually(t, untilRefused(t, fleet, "guarded", test.want))
			require.NoError(t, objects(t).Resource(karmadaClusters).Delete(t.Context(), "guarded", metav1.DeleteOptions{}))
			testenv.AwaitGone(t, profiles(t, fleet), "guarded")
		})
	}
	t.Run("a program in a kubeconfig", func(t *testing.T) {
		config := clientcmdapi.NewConfig()
		config.Clusters["c"] = &clientcmdapi.Cluster{Server: shared.Smartfish.Server(), CertificateAuthorityData: shared.Smartfish.CA()}
		config.AuthInfos["u"] = &clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
			APIVersion: "client.authentication.k8s.io/v1", Command: "/bin/true", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		}}
		config.Contexts["c"], config.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "c"
		createSecret(t, capiSecret("program", testenv.Must[[]byte](t)(clientcmd.Write(*config))))
		create(t, capiClusters, team, capiCluster("program"))
		untilEvent(t, team, "program", "NoAccess", "exec is refused: programs are not run")
		testenv.Eventually(t, untilRefused(t, team, "program", "exec is refused"))
	})
}

// untilRefused returns a check that a request of the hub's admin is refused with those words.
func untilRefused(t *testing.T, namespace, cluster, want string) func(context.Context) error {
	t.Helper()
	return func(ctx context.Context) error {
		_, err := shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests(namespace).Create(
			ctx, request(namespace, cluster, "refused"), metav1.CreateOptions{})
		if err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("it is not refused with %q: %w", want, err)
		}
		return nil
	}
}

// patchSpec changes the spec of a Cluster of Karmada.
func patchSpec(t *testing.T, name, spec string) {
	t.Helper()
	patch := testenv.Must[[]byte](t)(yaml.YAMLToJSON([]byte("spec: " + spec)))
	_, err := objects(t).Resource(karmadaClusters).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
}
