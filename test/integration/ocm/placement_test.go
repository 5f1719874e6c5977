// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package ocm

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"clusterpass.dev/test/testenv"
)

// testPlacementAndSet has a Placement choose among OCM's profiles, by a claim of OCM's, and a set
// keep a credential for what it chooses. OCM's own Placement of the same name decides beside it.
func (f *fleet) testPlacementAndSet(t *testing.T) {
	t.Helper()
	const consumers = "consumers"
	f.apply(t, fmt.Sprintf(`
apiVersion: clusterpass.dev/v1alpha1
kind: Placement
metadata: {name: eu, namespace: %[1]s}
spec:
  predicates:
  - requiredClusterSelector:
      claimSelector: {matchExpressions: [{key: %[2]s, operator: In, values: [%[3]s]}]}
---
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: eu, namespace: %[1]s}
spec:
  clusterSets: [%[4]s]
  predicates:
  - requiredClusterSelector:
      claimSelector: {matchExpressions: [{key: %[2]s, operator: In, values: [%[3]s]}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: %[5]s}
---
apiVersion: clusterpass.dev/v1alpha1
kind: ClusterCredentialSet
metadata: {name: eu, namespace: %[1]s}
spec:
  clusters: {decisionKey: eu}
  template: {serviceAccountNamespace: default, clusterRoles: [{name: view}]}
  secret: {namespace: %[5]s, name: "{{.cluster.name}}", format: kubeconfig}
`, team, regionClaim, region, clusterSet, consumers))
	testenv.MustKubectl(t, f.kubeconfig, "", "-n", consumers, "create", "rolebinding", "clusterpass-credential-sets",
		"--clusterrole=clusterpass:credential-sets", "--serviceaccount=clusterpass-system:clusterpass-controller-manager")

	f.expectOutput(t, bravelion, "get", "placementdecisions.multicluster.x-k8s.io", "-l", "multicluster.x-k8s.io/decision-key=eu",
		"-o", "jsonpath={.items[*].decisions[*].clusterProfileRef.name}")
	// It has not been told what smartfish is, other than by a taint, which another of its controllers
	// sets.
	f.expectOutput(t, "bravelion smartfish", "get", "placementdecisions.cluster.open-cluster-management.io",
		"-l", "cluster.open-cluster-management.io/placement=eu", "-o", "jsonpath={.items[*].status.decisions[*].clusterName}")

	secret := testenv.Await(t, f.hub.Kube(t).CoreV1().Secrets(consumers), bravelion, func(secret *corev1.Secret) error {
		if len(secret.Data["kubeconfig"]) == 0 {
			return fmt.Errorf("Secret %s has no kubeconfig yet", secret.Name)
		}
		return nil
	})
	config := testenv.Must[*rest.Config](t)(clientcmd.RESTConfigFromKubeConfig(secret.Data["kubeconfig"]))
	testenv.List(t, testenv.Kube(t, config).CoreV1().Pods("default"), metav1.ListOptions{})
	secrets := testenv.List(t, f.hub.Kube(t).CoreV1().Secrets(consumers), metav1.ListOptions{})
	assert.Len(t, secrets.Items, 1, "smartfish is not healthy")
	require.Equal(t, f.member.Server(), config.Host)
}

// expectOutput waits until kubectl prints that about namespace team.
func (f *fleet) expectOutput(t *testing.T, want string, args ...string) {
	t.Helper()
	testenv.Eventually(t, func(ctx context.Context) error {
		out, err := testenv.Kubectl(ctx, f.kubeconfig, "", append([]string{"-n", team}, args...)...)
		if err == nil && out != want {
			err = fmt.Errorf("%q instead of %q", out, want)
		}
		return err
	})
}
