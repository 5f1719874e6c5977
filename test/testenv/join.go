// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"k8s.io/client-go/util/retry"
	inventoryv1alpha1 "sigs.k8s.io/cluster-inventory-api/apis/v1alpha1"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"
	inventoryclient "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned/typed/apis/v1alpha1"
)

const (
	// clusterManager is the manager of the profiles that Join creates.
	clusterManager = "clusterpass"
	// accessProvider is upstream's name for the provider that reads a kubeconfig from a Secret.
	accessProvider = "kubeconfig-secretreader"
	// execExtension is the extension that KEP-5339 reserves for what a provider has to know of a
	// cluster.
	execExtension = "client.authentication.k8s.io/exec"
)

// memberKustomization lets the hub bind cluster-admin, view and edit, use namespace default, and
// make roles from the rules of a request: a member that lets cluster-admin be bound loses nothing
// by that.
const memberKustomization = "artifacts/deploy/member/overlays/rules"

// Join makes member a cluster of the hub's inventory: it applies artifacts/deploy/member to the
// member, puts a kubeconfig with a token of the ServiceAccount in there into a Secret of the hub,
// and has the ClusterProfile namespace/name point at that. The hub has to serve ClusterProfiles.
// What is there already is left alone if it is right and if the token works and has half of its 30
// days to go.
func Join(ctx context.Context, hub, member *Cluster, namespace, name string) error {
	if err := join(ctx, hub, member, namespace, name); err != nil {
		return fmt.Errorf("joining %s as ClusterProfile %s/%s: %w", member.Name(), namespace, name, err)
	}
	return nil
}

// Adopt is Join for a ClusterProfile of another manager, which may not exist yet: the Secret names
// it, and nothing is written to it.
func Adopt(ctx context.Context, hub, member *Cluster, namespace, name string) error {
	_, _, err := adopt(ctx, hub, member, namespace, name)
	if err != nil {
		return fmt.Errorf("adopting %s as ClusterProfile %s/%s: %w", member.Name(), namespace, name, err)
	}
	return nil
}

// adopt makes what a profile needs on the member, and the Secret on the hub. It returns clients for
// both.
func adopt(ctx context.Context, hub, member *Cluster, namespace, name string) (hubClient, memberClient *kubernetes.Clientset, err error) {
	if err := applyKustomization(ctx, member, memberKustomization); err != nil {
		return nil, nil, err
	}
	if hubClient, err = kubernetes.NewForConfig(hub.RESTConfig()); err != nil {
		return nil, nil, err
	}
	if memberClient, err = kubernetes.NewForConfig(member.RESTConfig()); err != nil {
		return nil, nil, err
	}
	return hubClient, memberClient, ensureMemberSecret(ctx, hubClient, memberClient, member, namespace, name)
}

func join(ctx context.Context, hub, member *Cluster, namespace, name string) error {
	hubClient, memberClient, err := adopt(ctx, hub, member, namespace, name)
	if err != nil {
		return err
	}
	version, err := memberClient.Discovery().ServerVersionWithContext(ctx)
	if err != nil {
		return err
	}
	if err := applyNamespace(ctx, hubClient, namespace); err != nil {
		return err
	}
	profiles, err := inventory.NewForConfig(hub.RESTConfig())
	if err != nil {
		return err
	}
	provider := secretReaderProvider(member, memberSecretName(namespace, name))
	return ensureClusterProfile(ctx, profiles.ApisV1alpha1().ClusterProfiles(namespace), name, provider, version.GitVersion)
}

// secretReaderProvider returns the access provider entry for the member, whose kubeconfig is in the
// named Secret.
func secretReaderProvider(member *Cluster, secret string) inventoryv1alpha1.AccessProvider {
	// In the order that servers store it in: what differs is written again.
	where := fmt.Appendf(nil, `{"key":%q,"name":%q,"namespace":%q}`, memberSecretKey, secret, SystemNamespace)
	return inventoryv1alpha1.AccessProvider{Name: accessProvider, Cluster: clientcmdv1.Cluster{
		Server: member.Server(), CertificateAuthorityData: member.CA(),
		Extensions: []clientcmdv1.NamedExtension{{Name: execExtension, Extension: runtime.RawExtension{Raw: where}}},
	}}
}

// ensureClusterProfile creates the profile if it is missing and brings its status up to date.
func ensureClusterProfile(
	ctx context.Context, client inventoryclient.ClusterProfileInterface, name string,
	provider inventoryv1alpha1.AccessProvider, version string,
) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		profile, err := getOrCreateClusterProfile(ctx, client, name)
		if err != nil {
			return err
		}
		wanted := profile.DeepCopy()
		wanted.Status.Version.Kubernetes = version
		wanted.Status.AccessProviders = withProvider(wanted.Status.AccessProviders, provider)
		if equality.Semantic.DeepEqual(profile.Status, wanted.Status) {
			return nil
		}
		_, err = client.UpdateStatus(ctx, wanted, metav1.UpdateOptions{})
		return err
	})
}

func getOrCreateClusterProfile(
	ctx context.Context, client inventoryclient.ClusterProfileInterface, name string,
) (*inventoryv1alpha1.ClusterProfile, error) {
	profile, err := client.Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return profile, err
	}
	profile = NewProfile(name, clusterManager)
	profile.Labels = map[string]string{inventoryv1alpha1.LabelClusterManagerKey: clusterManager}
	profile.Spec.DisplayName = name
	return client.Create(ctx, profile, metav1.CreateOptions{})
}

// withProvider returns providers with provider in place of the one of its name, or as the last.
func withProvider(
	providers []inventoryv1alpha1.AccessProvider, provider inventoryv1alpha1.AccessProvider,
) []inventoryv1alpha1.AccessProvider {
	i := slices.IndexFunc(providers, func(p inventoryv1alpha1.AccessProvider) bool { return p.Name == provider.Name })
	if i < 0 {
		return append(providers, provider)
	}
	providers[i] = provider
	return providers
}

// applyKustomization applies a kustomization of the module to the cluster, as its installer would.
func applyKustomization(ctx context.Context, cluster *Cluster, dir string) error {
	root, err := ModuleRoot()
	if err != nil {
		return err
	}
	return applyKustomizationAt(ctx, cluster, filepath.Join(root, dir))
}

// applyKustomizationAt is applyKustomization of any directory.
func applyKustomizationAt(ctx context.Context, cluster *Cluster, dir string) error {
	kubectl, err := ToolPath("kubectl")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, kubectl, "--kubeconfig="+cluster.Kubeconfig(), "apply", "--server-side",
		"--force-conflicts", "--field-manager="+fieldManager, "--kustomize="+dir)
	// By default it is kept under ~/.kube by address and port, which another cluster may have had
	// before.
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(cluster.Dir(), "kubectl-cache"))
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("applying %s to %s: %w: %s", dir, cluster.Name(), err, output)
	}
	return nil
}
