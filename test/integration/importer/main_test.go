// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package importer tests that clusters of Karmada and of Cluster API get ClusterProfiles, and that
// tokens for them are as safe as for joined ones: with objects as these platforms make them, on a
// real hub and real members.
package importer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"
	"sigs.k8s.io/yaml"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/test/testenv"
)

const (
	// fleet has the ClusterProfiles of Karmada's clusters, and team those of Cluster API's.
	fleet, team = "fleet", "capi-clusters"
	// karmadaNamespace is where karmadactl join puts Secrets.
	karmadaNamespace = "karmada-cluster"
	// tenant is a namespace of somebody else.
	tenant = "tenant"
)

// The resources of the platforms' Clusters.
var (
	karmadaClusters = schema.GroupVersionResource{Group: "cluster.karmada.io", Version: "v1alpha1", Resource: "clusters"}
	capiClusters    = schema.GroupVersionResource{Group: "cluster.x-k8s.io", Version: "v1beta2", Resource: "clusters"}
)

// shared is a hub with two members, which are not joined.
var shared testenv.Fleet

func TestMain(m *testing.M) {
	server, manager := &testenv.ServerConfig{}, &testenv.ControllerManagerConfig{Args: []string{
		"--import=Karmada,ClusterAPI", "--member-probe-period=1s", "--cluster-profile-write-interval=1s",
	}}
	shared.Main(m, testenv.FleetConfig{Members: 2, Unjoined: true, Server: server, Manager: manager, Prepare: func(ctx context.Context) error {
		access, err := example("access-config.yaml")
		server.Args = append(server.Args, "--access-config="+access)
		manager.Args = append(manager.Args, "--access-config="+access)
		return errors.Join(err, prepareHub(ctx, shared.Hub))
	}})
}

// example returns the path of an example of docs/import.md.
func example(name string) (string, error) {
	root, err := testenv.ModuleRoot()
	return filepath.Join(root, "artifacts", "examples", "import", name), err
}

// prepareHub binds the roles as docs/import.md says, and installs Cluster API's CRD. That of
// Karmada comes later.
func prepareHub(ctx context.Context, hub *testenv.Cluster) error {
	kubectl := func(args ...string) error {
		_, err := testenv.Kubectl(ctx, hub.Kubeconfig(), "", args...)
		return err
	}
	examples, err := example("")
	if err != nil {
		return err
	}
	if err := kubectl("apply", "--kustomize="+filepath.Join(examples, "..", "..", "deploy", "import")); err != nil {
		return err
	}
	for _, name := range []string{"karmada.yaml", "cluster-api.yaml"} {
		if err := kubectl("apply", "--filename="+filepath.Join(examples, name)); err != nil {
			return err
		}
	}
	if err := kubectl("create", "namespace", tenant); err != nil {
		return err
	}
	if err := kubectl("apply", "--server-side", "--filename="+filepath.Join("testdata", "cluster-api.yaml")); err != nil {
		return err
	}
	return kubectl("wait", "--for=condition=Established", "crd/clusters.cluster.x-k8s.io")
}

// installKarmada installs its CRD. The programs have started without it.
func installKarmada(t *testing.T) {
	t.Helper()
	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "apply", "--server-side", "--filename="+filepath.Join("testdata", "karmada.yaml"))
	testenv.MustKubectl(t, shared.Hub.Kubeconfig(), "", "wait", "--for=condition=Established", "crd/clusters.cluster.karmada.io")
}

func objects(t *testing.T) dynamic.Interface {
	t.Helper()
	return testenv.Must[dynamic.Interface](t)(dynamic.NewForConfig(shared.Hub.RESTConfig()))
}

func profiles(t *testing.T, namespace string) inventoryclient.ClusterProfileInterface {
	t.Helper()
	return shared.Hub.Inventory(t).ApisV1alpha1().ClusterProfiles(namespace)
}

// create makes a Cluster from YAML, and deletes it after the test.
func create(t *testing.T, resource schema.GroupVersionResource, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	require.NoError(t, yaml.Unmarshal([]byte(text), &object.Object))
	client := objects(t).Resource(resource).Namespace(namespace)
	made := testenv.Must[*unstructured.Unstructured](t)(client.Create(t.Context(), object, metav1.CreateOptions{}))
	t.Cleanup(func() { _ = client.Delete(context.WithoutCancel(t.Context()), made.GetName(), metav1.DeleteOptions{}) }) // a test may have
	return made
}

// createSecret makes a Secret, and deletes it after the test.
func createSecret(t *testing.T, secret *corev1.Secret) *corev1.Secret {
	t.Helper()
	client := shared.Hub.Kube(t).CoreV1().Secrets(secret.Namespace)
	made := testenv.Create(t, client, secret)
	t.Cleanup(func() { _ = client.Delete(context.WithoutCancel(t.Context()), made.Name, metav1.DeleteOptions{}) }) // a test may have
	return made
}

// karmadaCluster returns a Cluster as `karmadactl join` makes it, with more in its spec.
func karmadaCluster(name string, member *testenv.Cluster, more string) string {
	return fmt.Sprintf(`
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: %[1]s}
spec:
  syncMode: Push
  apiEndpoint: %[2]s
  secretRef: {namespace: karmada-cluster, name: %[1]s}
  %[3]s
`, name, member.Server(), more)
}

// karmadaSecret returns the Secret that goes with it, with a new token of that account, which may
// do everything on the member.
func karmadaSecret(t *testing.T, name string, member *testenv.Cluster, account string) *corev1.Secret {
	t.Helper()
	kube := member.Kube(t)
	testenv.Create(t, kube.CoreV1().ServiceAccounts("kube-system"), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}})
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: "kube-system", Name: account}
	testenv.Bind(t, kube, "", account, subject, "cluster-admin")
	token, err := kube.CoreV1().ServiceAccounts("kube-system").CreateToken(
		t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: karmadaNamespace, Name: name},
		Data:       map[string][]byte{"token": []byte(token.Status.Token), "caBundle": member.CA()},
	}
}

// capiCluster returns a Cluster as a user of Cluster API writes it.
func capiCluster(name string) string {
	return fmt.Sprintf(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: Cluster
metadata: {name: %[1]s, namespace: capi-clusters}
spec:
  controlPlaneRef: {apiGroup: controlplane.cluster.x-k8s.io, kind: KubeadmControlPlane, name: %[1]s}
  infrastructureRef: {apiGroup: infrastructure.cluster.x-k8s.io, kind: DockerCluster, name: %[1]s}
`, name)
}

// capiSecret returns the Secret that Cluster API makes for a Cluster, with a kubeconfig.
func capiSecret(cluster string, kubeconfig []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: team, Name: cluster + "-kubeconfig", Labels: map[string]string{"cluster.x-k8s.io/cluster-name": cluster},
		},
		Type: "cluster.x-k8s.io/secret",
		Data: map[string][]byte{"value": kubeconfig},
	}
}

// adminOf returns a kubeconfig with a client certificate for a user who may do everything on a
// member, as long as the ClusterRoleBinding of that name is there.
func adminOf(t *testing.T, member *testenv.Cluster, user string) []byte {
	t.Helper()
	testenv.Bind(t, member.Kube(t), "", user, testenv.UserSubject(user), "cluster-admin")
	return testenv.Must[[]byte](t)(member.ClientCertKubeconfig(user))
}

// untilAccess waits until a profile has the access of a provider to a server, and returns it.
func untilAccess(t *testing.T, namespace, name, provider, server string) *inventoryv1alpha1.ClusterProfile {
	t.Helper()
	return testenv.Await(t, profiles(t, namespace), name, func(profile *inventoryv1alpha1.ClusterProfile) error {
		for _, entry := range profile.Status.AccessProviders {
			if entry.Name == provider && entry.Cluster.Server == server {
				return nil
			}
		}
		return fmt.Errorf("the access providers are %v", profile.Status.AccessProviders)
	})
}

// untilEvent waits for a Warning about a Cluster that has those words.
func untilEvent(t *testing.T, namespace, cluster, reason, words string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		list, err := shared.Hub.Kube(t).EventsV1().Events(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for i := range list.Items {
			event := &list.Items[i]
			if event.Regarding.Kind == "Cluster" && event.Regarding.Name == cluster && event.Type == corev1.EventTypeWarning {
				seen = append(seen, event.Reason+": "+event.Note)
				if event.Reason == reason && strings.Contains(event.Note, words) {
					return nil
				}
			}
		}
		return fmt.Errorf("no event of %s has %q: %q", cluster, words, seen)
	})
}

// request returns a request for view for account on a ClusterProfile.
func request(namespace, cluster, account string) *v1alpha1.AuthTokenRequest {
	return &v1alpha1.AuthTokenRequest{Spec: v1alpha1.AuthTokenRequestSpec{
		TargetClusterProfile:    v1alpha1.ClusterProfileReference{Name: cluster, Namespace: namespace},
		ServiceAccountNamespace: "default", ServiceAccountName: account, ClusterRoles: []v1alpha1.ClusterRole{{Name: "view"}},
	}}
}

// mint has the hub's admin get a token, in the namespace of the profile, as soon as there is
// access.
func mint(t *testing.T, namespace, cluster, account string) *v1alpha1.AuthTokenRequestStatus {
	t.Helper()
	var answer *v1alpha1.AuthTokenRequest
	requests := shared.Hub.Clusterpass(t).MulticlusterV1alpha1().AuthTokenRequests(namespace)
	testenv.Eventually(t, func(ctx context.Context) (err error) {
		answer, err = requests.Create(ctx, request(namespace, cluster, account), metav1.CreateOptions{})
		return err
	})
	return &answer.Status
}

// use uses a kubeconfig with the role view.
func use(t *testing.T, kubeconfig []byte) kubernetes.Interface {
	t.Helper()
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	require.NoError(t, err)
	client := testenv.Kube(t, config)
	testenv.Eventually(t, func(ctx context.Context) error {
		_, err := client.CoreV1().ConfigMaps("default").List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
	return client
}
