// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package platforms tests clusterpass on the ClusterProfiles of other cluster managers, beside what
// these managers write.
package platforms

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/apis/clusterpass/v1alpha1"
	multiclusterv1alpha1 "clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/hack/openapi-inventory/crd"
	"clusterpass.dev/pkg/generated/clientset/versioned"
	hubfacts "clusterpass.dev/pkg/hub"
	"clusterpass.dev/test/testenv"
)

const (
	// fleetNamespace has KubeFleet's ClusterProfiles.
	fleetNamespace = "fleet-system"
	consumers      = "consumers"
	alice          = "alice"
	memberName     = "bravelion"
)

// hub is one where KubeFleet keeps a profile of bravelion, which clusterpass has adopted.
type hub struct {
	*testenv.Cluster
	bravelion *testenv.Cluster
	kubeFleet *kubeFleet
	alice     versioned.Interface
}

func startHub(t *testing.T, inventory string) *hub {
	t.Helper()
	h := &hub{Cluster: testenv.Start(t, testenv.Options{}), bravelion: testenv.Start(t, testenv.Options{Name: memberName})}
	config := testenv.ServerConfig{Args: []string{"--inventory=" + inventory}}
	if inventory == hubfacts.InventoryExternal {
		config.GroupVersions = []schema.GroupVersion{v1alpha1.SchemeGroupVersion}
		installCRDs(t, h.Cluster)
		policy := filepath.Join(testenv.Root(t), "artifacts", "deploy", "components", "external-inventory", "decision-writers.yaml")
		testenv.MustKubectl(t, h.Kubeconfig(), "", "apply", "-f", policy)
	}
	testenv.StartServer(t, h.Cluster, config)
	admin := h.Kube(t)
	for _, name := range []string{fleetNamespace, consumers} {
		testenv.Create(t, admin.CoreV1().Namespaces(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	testenv.Bind(t, admin, fleetNamespace, "kubefleet", testenv.UserSubject("kubefleet"), "clusterpass:cluster-manager")
	h.kubeFleet = &kubeFleet{profiles: testenv.Inventory(t, h.User(t, "kubefleet")).ApisV1alpha1().ClusterProfiles(fleetNamespace)}
	subject, group := testenv.UserSubject(alice), []string{"multicluster.x-k8s.io"}
	testenv.Grant(t, admin, fleetNamespace, alice, subject,
		rbacv1.PolicyRule{APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"authtokenrequests"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: group, Resources: []string{"clusterprofiles/token"}, Verbs: []string{"create"}},
		rbacv1.PolicyRule{APIGroups: group, Resources: []string{"clusterprofiles"}, Verbs: []string{"get", "list", "bind:view", "in:default"}})
	testenv.Bind(t, admin, fleetNamespace, "alice-edits", subject, "edit")
	testenv.Bind(t, admin, consumers, "alice-edits", subject, "edit")
	h.alice = testenv.Clusterpass(t, h.User(t, alice))
	keeper := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "clusterpass-controller-manager", Namespace: testenv.SystemNamespace}
	testenv.Bind(t, admin, consumers, "clusterpass-credential-sets", keeper, "clusterpass:credential-sets")
	addNode(t, h.bravelion.Kube(t))
	testenv.StartControllerManager(t, h.Cluster, testenv.ControllerManagerConfig{Args: []string{
		"--score-period=2s", "--member-probe-period=1s", "--cluster-profile-write-interval=0s", "--member-sweep-period=2s",
	}})
	return h
}

// addNode gives a member four free cores.
func addNode(t *testing.T, member kubernetes.Interface) {
	t.Helper()
	node := testenv.Create(t, member.CoreV1().Nodes(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker"}})
	node.Spec.Taints = nil
	node = testenv.Update(t, member.CoreV1().Nodes(), node)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	node.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "pods": resource.MustParse("10")}
	node.Status.Capacity = node.Status.Allocatable
	testenv.UpdateStatus(t, member.CoreV1().Nodes(), node)
}

// installCRDs gives a hub upstream's CRDs of ClusterProfile and PlacementDecision.
func installCRDs(t *testing.T, hub *testenv.Cluster) {
	t.Helper()
	client := testenv.Must[apiextensions.Interface](t)(apiextensions.NewForConfig(hub.RESTConfig()))
	crds := client.ApiextensionsV1().CustomResourceDefinitions()
	for _, definition := range testenv.Must[[]*apiextensionsv1.CustomResourceDefinition](t)(crd.Load(t.Context())) {
		testenv.Create(t, crds, definition)
		testenv.Await(t, crds, definition.Name, func(found *apiextensionsv1.CustomResourceDefinition) error {
			if !apihelpers.IsCRDConditionTrue(found, apiextensionsv1.Established) {
				return fmt.Errorf("%s is not established", found.Name)
			}
			return nil
		})
	}
}

// mint requests a token as alice, in the form that both modes have, and uses it on the member.
func (h *hub) mint(ctx context.Context) error {
	body, err := json.Marshal(&multiclusterv1alpha1.AuthTokenRequest{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AuthTokenRequest"},
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: multiclusterv1alpha1.AuthTokenRequestSpec{
			TargetClusterProfile: multiclusterv1alpha1.ClusterProfileReference{Name: memberName},
			ServiceAccountName:   "work", ServiceAccountNamespace: "default",
			ClusterRoles: []multiclusterv1alpha1.ClusterRole{{Name: "view"}},
		},
	})
	if err != nil {
		return err
	}
	client := h.alice.ClusterpassV1alpha1().RESTClient()
	result := client.Post().Namespace(fleetNamespace).Resource("authtokenrequests").
		SetHeader("Content-Type", "application/json").Body(body).Do(ctx)
	if err := result.Error(); err != nil {
		return err // which has the server's words, unlike that of Raw
	}
	raw, err := result.Raw()
	if err != nil {
		return err
	}
	answer := &multiclusterv1alpha1.AuthTokenRequest{}
	if err := json.Unmarshal(raw, answer); err != nil {
		return err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(answer.Status.Kubeconfig)
	if err != nil {
		return err
	}
	if config.Host != h.bravelion.Server() {
		return fmt.Errorf("the token leads to %s", config.Host)
	}
	return use(ctx, config)
}

// use lists Pods with a credential.
func use(ctx context.Context, config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	return err
}
