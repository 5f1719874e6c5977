// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package importer

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/test/testenv"
)

// Where the hub's CustomResourceDefinition serves ClusterProfiles, import is the same.
func TestImport_External(t *testing.T) {
	hub := testenv.Start(t, testenv.Options{})
	kubectl := func(input string, args ...string) { testenv.MustKubectl(t, hub.Kubeconfig(), input, args...) }
	for _, definition := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		kubectl(string(testenv.Must[[]byte](t)(yaml.Marshal(definition))), "create", "-f", "-")
		kubectl("", "wait", "--for=condition=Established", "crd/"+definition.Name)
	}
	require.NoError(t, prepareHub(t.Context(), hub))
	access := testenv.Must[string](t)(example("access-config.yaml"))
	testenv.StartServer(t, hub, testenv.ServerConfig{
		GroupVersions: []schema.GroupVersion{clusterpassv1alpha1.SchemeGroupVersion},
		Args:          []string{"--inventory=External", "--access-config=" + access},
	})
	testenv.StartControllerManager(t, hub, testenv.ControllerManagerConfig{Args: []string{"--import=ClusterAPI", "--access-config=" + access}})

	testenv.Create(t, hub.Kube(t).CoreV1().Secrets(team), capiSecret("external", adminOf(t, shared.Smartfish, "capi-external")))
	kubectl(capiCluster("external"), "create", "-f", "-")
	made := hub.Inventory(t).ApisV1alpha1().ClusterProfiles(team)
	testenv.Await(t, made, "external", func(profile *inventoryv1alpha1.ClusterProfile) error {
		if len(profile.Status.AccessProviders) != 1 || profile.Status.AccessProviders[0].Cluster.Server != shared.Smartfish.Server() {
			return fmt.Errorf("the access providers are %v", profile.Status.AccessProviders)
		}
		return nil
	})
	use(t, createRequest(t, hub.Kubeconfig(), "clusterpass.dev/v1alpha1", team, "external", "external"))
	kubectl("", "delete", "--namespace="+team, "clusters.cluster.x-k8s.io", "external")
	testenv.AwaitGone(t, made, "external")
}
