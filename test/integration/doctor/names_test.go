// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	aggregator "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"
	"k8s.io/utils/ptr"

	clusterpassv1alpha1 "clusterpass.dev/apis/clusterpass/v1alpha1"
	"clusterpass.dev/pkg/doctor"
	"clusterpass.dev/test/testenv"
)

// otherProducts are kinds of others with the names of clusterpass's.
var otherProducts = []apiextensionsv1.CustomResourceDefinitionNames{
	{Kind: "Placement", Plural: "placements"},
	{Kind: "PlacementDecision", Plural: "placementdecisions"},
	{Kind: "ClusterProfile", Plural: "clusterprofiles", ShortNames: []string{"cp"}},
}

const (
	openClusterManagement = "cluster.open-cluster-management.io"
	// otherFleet comes before multicluster.x-k8s.io in the alphabet.
	otherFleet = "fleet.example.com"
)

// installOtherProducts has the hub serve the kinds of others until the test ends.
func installOtherProducts(t *testing.T) {
	t.Helper()
	client := testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(shared.Hub.RESTConfig()))
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, names := range otherProducts {
		group := openClusterManagement
		if names.Kind == "ClusterProfile" {
			group = otherFleet
		}
		name := names.Plural + "." + group
		testenv.Create(t, crds, &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Annotations: map[string]string{apiextensionsv1.KubeAPIApprovedAnnotation: "unapproved, a test"},
			},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: group, Names: names, Scope: apiextensionsv1.NamespaceScoped,
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: "v1beta1", Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: ptr.To(true),
					}},
				}},
			},
		})
		// Not t.Context(), which has ended by then.
		t.Cleanup(func() { assert.NoError(t, crds.Delete(context.Background(), name, metav1.DeleteOptions{})) })
	}
}

// shown returns what kubectl get shows in namespace default, by full names.
func shown(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "get", name, "--namespace=default", "--output=name"))
}

// apiServices returns a client for those of the hub.
func apiServices(t *testing.T) apiregistrationclient.APIServiceInterface {
	t.Helper()
	return testenv.Must[aggregator.Interface](t)(aggregator.NewForConfig(shared.Hub.RESTConfig())).ApiregistrationV1().APIServices()
}

func setPriority(t *testing.T, service, priority string) {
	t.Helper()
	testenv.Patch(t, apiServices(t), service, `{"spec":{"groupPriorityMinimum":`+priority+`}}`)
}

func TestDoctor_OtherProductsKinds(t *testing.T) {
	expect(t, options(), expected{"names", doctor.OK, "", "no other group of the hub has a name of clusterpass's resources", ""})
	placements := shared.Hub.Clusterpass(t).ClusterpassV1alpha1().Placements("default")
	testenv.Create(t, placements, &clusterpassv1alpha1.Placement{ObjectMeta: metav1.ObjectMeta{Name: "mine"}})
	t.Cleanup(func() { assert.NoError(t, placements.Delete(context.Background(), "mine", metav1.DeleteOptions{})) })
	installOtherProducts(t)

	t.Run("by bare names kubectl shows clusterpass's", func(t *testing.T) {
		for name, others := range map[string]string{
			"clusterprofiles": otherFleet, "clusterprofile": otherFleet, "cp": otherFleet,
			"placements": openClusterManagement, "placement": openClusterManagement,
			"placementdecisions": openClusterManagement, "placementdecision": openClusterManagement,
		} {
			expect(t, options(), expected{"names", doctor.OK, "kubectl get " + name, "it shows clusterpass's", ""})
			expect(t, options(), expected{"names", doctor.OK, "kubectl get " + name, "." + others, ""})
		}
		for _, name := range []string{"clusterprofiles", "clusterprofile", "cp"} {
			assert.Equal(t, "clusterprofile.multicluster.x-k8s.io/bravelion", shown(t, name), name)
		}
		for _, name := range []string{"placements", "placement", "pl"} {
			assert.Equal(t, "placement.clusterpass.dev/mine", shown(t, name), name)
		}
	})

	t.Run("where another product's come first, doctor says so, and full names work", func(t *testing.T) {
		setPriority(t, "v1alpha2.multicluster.x-k8s.io", "1000")
		setPriority(t, "v1alpha1.multicluster.x-k8s.io", "1000")
		setPriority(t, "v1alpha1.clusterpass.dev", "900")
		expect(t, options(), expected{"names", doctor.Warn, "kubectl get cp",
			"it shows clusterprofiles." + otherFleet + ", which is not clusterpass's", "kubectl get clusterprofiles.multicluster.x-k8s.io"})
		expect(t, options(), expected{"names", doctor.Warn, "kubectl get placements", "it shows placements." + openClusterManagement,
			"kubectl get placements.clusterpass.dev"})
		assert.NotContains(t, shown(t, "clusterprofiles"), "bravelion")
		assert.Equal(t, "clusterprofile.multicluster.x-k8s.io/bravelion", shown(t, "clusterprofiles.multicluster.x-k8s.io"))
		assert.Equal(t, "placement.clusterpass.dev/mine", shown(t, "placements.clusterpass.dev"))

		require.NoError(t, shared.Server.Register(t.Context()))
		expect(t, options(), expected{"names", doctor.OK, "kubectl get cp", "it shows clusterpass's", ""})
	})
}
